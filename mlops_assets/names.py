"""Names of datasets, models, versions and tags, and references to them.

References are only parsed here; the registry resolves them to versions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlops_assets.errors import NameRefused

# Dagster accepts `a|b` and `a...b` as partition keys, which then break multi-partitions and ranges.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# Dataset and model names also become Dagster asset key parts and Python identifiers of jobs.
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def check_key(key: str, what: str = "key") -> str:
    """Return `key` if it can be a partition key, a path segment and a URL segment.

    Raises:
        NameRefused: it is empty, longer than 100 characters, or has other characters than
            letters, digits, `_`, `.`, `-`, or two dots in a row.
    """
    if not _NAME.fullmatch(key) or ".." in key or len(key) > 100:
        raise NameRefused(
            f"{what} {key!r} cannot be used: take letters, digits, '_', '-' and single dots, "
            "starting with a letter or digit, 100 characters at most"
        )
    return key


def check_name(name: str, what: str = "name") -> str:
    """Return `name` if it can name a dataset or a model.

    Raises:
        NameRefused: it is not a letter followed by letters, digits or `_`.
    """
    if not _IDENTIFIER.fullmatch(name) or len(name) > 63:
        raise NameRefused(
            f"{what} {name!r} cannot be used: take a letter, then letters, digits and '_', 63"
            " characters at most"
        )
    return name


def kubernetes_name(name: str) -> str:
    """Return the name on Kubernetes of what has this name here: a label of DNS.

    Args:
        name: as of `check_name`, so that it begins with a letter, which a service there must.
    """
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:55].strip("-")


def check_label(label: str, what: str) -> str:
    """Return `label` if it can be a tag or an alias: a key that cannot be mistaken for a version.

    Raises:
        NameRefused: it cannot be a key, or has the form of a data version (`v3`) or a model version
            (`v3-1f0c9a2b`).
    """
    check_key(label, what)
    if re.fullmatch(r"v\d+(-[0-9a-f]{8})?", label):
        raise NameRefused(f"{what} {label!r} looks like a version; choose another {what}")
    return label


def check_function(name: str, what: str) -> str:
    """Return `name` if it is written as `package.module:function`.

    Raises:
        NameRefused: it is not.
    """
    module, _, function = name.partition(":")
    if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise NameRefused(f"{what} {name!r} must be written 'package.module:function'")
    return name


@dataclass(frozen=True)
class Reference:
    """`NAME@WHAT`: a data version or tag, a model version or alias.

    `what` is None for `NAME` alone.
    """

    name: str
    what: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read `NAME` or `NAME@WHAT`.

        Raises:
            NameRefused: either part cannot be a name.
        """
        name, at, what = text.partition("@")
        check_name(name, "name")
        if at:
            check_key(what, "reference")
        return cls(name, what if at else None)

    def __str__(self) -> str:
        return f"{self.name}@{self.what}" if self.what else self.name
