"""Tests of records in the registry."""
