"""What pages of the hub show, and the REST API returns, as plain documents of a store.

Nothing here knows HTTP or a browser.
"""
