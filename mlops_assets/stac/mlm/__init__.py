"""The MLM Item of a model version: what it is made from, and its `mlm:` fields."""
