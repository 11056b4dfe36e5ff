"""Declared classes: the numbers that a list of names stands for, and refusal of what YAML misread.

A list is stored as the mapping it stands for, so that versions, digests and readers know mappings
only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from mlops_assets.datasets.specification.source import Source


def require_quoted(written: Iterable[object]) -> None:
    """Refuse what YAML makes of unquoted texts: NO is false to it, and 2024-01-01 a date.

    Args:
        written: values and names of classes.

    Raises:
        ValueError: one is neither a text nor a whole number.
    """
    for entry in written:
        if not isinstance(entry, int | str) or isinstance(entry, bool):
            raise ValueError(
                f"classes: {entry!r} is how YAML parsed an unquoted value; quote it"
                ' as it was meant, such as "NO" or "1e2"'
            )


def numbered(names: Sequence[object], source: Source | None) -> dict[int | str, str]:
    """Return the classes that a list of names stands for, value → name.

    Where the label is a text (tables, folders of images, an Item's property) each name is its own
    value. Vector labels of scenes are burned onto a grid, so that their classes are numbered from 1
    in the order of the list; 0 is unlabelled.

    Args:
        names: the list as declared.
        source: the source as declared; None if it is not valid, which is reported by itself.

    Raises:
        ValueError: it is empty, has something else than names or one twice, or the labels are
            rasters, whose values a list does not state.
    """
    if not names:
        raise ValueError("[] has no class; name them, such as [wheat, maize]")
    require_quoted(names)
    burned = source is not None and source.sampling is not None
    example = ", ".join(f"{number}: NAME" for number in range(1, min(len(names), 3) + 1))
    if source is not None and burned and not source.has_vector_labels:
        labels = (
            source.scenes_layout.labels if source.layout == "scenes" else "assets of STAC Items"
        )
        raise ValueError(
            f"a list of names does not state which value of the label rasters ({labels})"
            f" each has; write value and name: {{{example}}}"
        )
    texts = [name for name in names if isinstance(name, str) and name.strip()]
    wrong = [name for name in names if name not in texts]
    if burned:
        wrong += [name for name in texts if re.fullmatch("-?[0-9]+", name)]
    if wrong:
        raise ValueError(
            f"{', '.join(map(repr, wrong))} in a list of names is not a name; if the"
            f" labels are numbers, write value and name: {{{example}}}"
        )
    twice = [name for name, count in Counter(texts).items() if count > 1]
    if twice:
        raise ValueError(f"{', '.join(twice)} is listed twice; remove one")
    return {number if burned else name: name for number, name in enumerate(texts, 1)}
