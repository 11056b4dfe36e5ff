"""The performance of a model version on logged samples: measured with labels, estimated without."""
