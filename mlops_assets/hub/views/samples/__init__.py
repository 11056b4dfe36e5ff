"""The samples of a data version as a browser shows them: lists, chips, spectra.

Everything is read from the committed bytes, never from the landing.
"""
