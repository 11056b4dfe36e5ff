"""The page of a data version, and its parts."""
