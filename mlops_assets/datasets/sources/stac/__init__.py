"""Landings that STAC describes: static documents and APIs, and their Items."""
