"""What the pages of models show: all models, one model, one version, and the chain behind it."""
