"""Operation of a hub: probes, metrics, and the identifier of each request.

No page, and nothing of one model or dataset beyond its figures.
"""
