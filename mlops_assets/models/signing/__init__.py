"""Signatures of model versions: who answers for their files, and for how they were made."""
