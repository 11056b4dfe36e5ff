"""Identity: finding out who calls over HTTP, from the bearer token of the request.

What a principal may do is decided in the registry; nothing here knows of it.
"""
