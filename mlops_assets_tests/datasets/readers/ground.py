"""The extent of the landed data of tests, and its classes."""

from __future__ import annotations

CLASSES = {1: "water", 2: "land"}
# west, south, east, north in degrees: 40 km around 3° W, 42.45° N
BOUNDS = (-3.1, 42.4, -2.5, 42.5)
