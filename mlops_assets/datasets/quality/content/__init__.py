"""Values and places of the samples of a data version, read in one pass."""
