"""What the platform offers over HTTP: for now runs made elsewhere; later the web UI and the STAC API.

Requests are checked and handed to the core here; nothing of the core is decided here.
"""
