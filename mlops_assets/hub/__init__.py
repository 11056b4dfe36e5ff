"""The hub: pages for the browser, the REST API and the STAC API, in one ASGI app.

What a page shows is in `views`, what a button does in the core; `rest` offers both over HTTP.
"""
