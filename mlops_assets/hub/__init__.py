"""The platform over HTTP: recording external runs.

Requests are checked and handed to the core here; nothing of the core is decided here.
"""
