"""Registration: records of this workspace in the catalogues of others."""
