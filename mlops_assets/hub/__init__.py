"""The platform over HTTP: recording external runs.

Requests are checked and passed to the core; nothing of the core is decided here.
"""
