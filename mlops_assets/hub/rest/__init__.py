"""The REST API of the hub below `/api/v1`: everything that its pages show and their buttons do."""
