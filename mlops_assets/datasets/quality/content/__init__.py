"""The values and places of the samples of a data version, gone through once."""
