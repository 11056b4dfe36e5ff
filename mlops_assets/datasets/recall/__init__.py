"""Recalling a data version: writing its files back, and verifying their bytes."""
