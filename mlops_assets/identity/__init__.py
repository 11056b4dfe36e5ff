"""Identity: the principal of an HTTP request, from its bearer token.

The registry decides what a principal may do; nothing here depends on it.
"""
