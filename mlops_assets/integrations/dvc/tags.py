"""Tags of Git as tags of data versions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlops_assets.errors import NameRefused
from mlops_assets.names import check_label

PREFIX = "git-"  # of those that look like a version of this platform


def labels(tags: Sequence[str]) -> list[str]:
    """Return tags of Git as data versions can have them.

    Args:
        tags: `v1` looks like a data version, and becomes `git-v1`; `release/2024` has a slash,
            which becomes `-`.

    Raises:
        NameRefused: a tag cannot be written so.
    """
    found = []
    for tag in tags:
        plain = re.sub(r"[^A-Za-z0-9_.-]", "-", tag)
        try:
            found.append(check_label(plain, "tag"))
        except NameRefused:
            found.append(check_label(f"{PREFIX}{plain}", "tag"))
    return found
