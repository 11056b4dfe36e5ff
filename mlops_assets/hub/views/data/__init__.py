"""What pages of training data show: datasets, their versions, files, quality and differences.

Samples and footprints are in their own modules.
"""
