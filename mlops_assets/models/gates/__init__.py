"""Gates: rules that a model version must pass to be promoted, and what came of them."""
