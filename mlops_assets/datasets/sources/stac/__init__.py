"""Landings that STAC describes: static documents and APIs, and what their Items say."""
