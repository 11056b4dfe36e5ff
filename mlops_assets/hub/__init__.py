"""What the platform offers over HTTP: recording runs that are made elsewhere.

Requests are checked and handed to the core here; nothing of the core is decided here.
"""
