"""External training runs over HTTP.

Requests are checked and passed to the core; nothing of the core is decided here.
"""
