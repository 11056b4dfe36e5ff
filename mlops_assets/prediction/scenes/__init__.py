"""Scenes as models read them."""
