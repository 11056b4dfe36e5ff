"""Webhooks that git servers call: declarations, proofs, and pushes as they are sent."""
