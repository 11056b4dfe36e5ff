"""Declared instances: the shipped example project lives here."""
