"""Other platforms, and runs made outside of this one: one folder each."""
