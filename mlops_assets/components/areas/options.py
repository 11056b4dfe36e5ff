"""Launch options of maps, as Dagster's Launchpad offers them."""

from enum import Enum


class BrokenChoice(Enum):
    """What becomes of a map with a scene that cannot be read."""

    skip = "skip"
    fail = "fail"
