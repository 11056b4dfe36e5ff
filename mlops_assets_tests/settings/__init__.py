"""Tests of settings that come from files."""
