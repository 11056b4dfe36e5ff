"""Training data of one data version for a trainer: arrays, loaders, scaling."""
