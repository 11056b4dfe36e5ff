"""Tests of `mlops up`."""
