"""Discovery: the STAC API in the box.

What is found is in the registry; see `registry.records`. It is served by the hub, at `/stac`.
"""
