"""A project that declares a model which is trained elsewhere."""
