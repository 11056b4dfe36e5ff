from __future__ import annotations

from mlops_assets.text.listing import named


def test_names_beyond_the_limit_are_counted() -> None:
    assert named(["a", "b", "c"], 3) == "a, b, c"
    assert named(["a", "b", "c", "d"], 3) == "a, b, c and 1 more"
    assert named([]) == ""
