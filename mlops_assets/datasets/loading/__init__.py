"""One data version as a trainer sees it: arrays, loaders, scaling."""
