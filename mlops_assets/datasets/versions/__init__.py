"""A committed data version: its manifest, documents and decoded cache."""
