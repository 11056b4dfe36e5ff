"""Tests of the files and the record of maps."""
