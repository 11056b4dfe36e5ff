"""Differences between two data versions: files, samples, distributions."""
