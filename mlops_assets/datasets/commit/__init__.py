"""Commit of a landing: its bytes become an immutable, content-addressed data version."""
