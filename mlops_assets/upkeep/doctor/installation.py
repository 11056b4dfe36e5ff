"""Checks of the installed packages."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable, Iterator

from mlops_assets.upkeep.doctor.finding import Finding

_SHOWN = ("mlops-assets", "dagster", "torch", "onnxruntime")
# released together with Dagster: each group has one version
_TOGETHER = (
    ("dagster", "dagster-webserver", "dagster-graphql", "dagster-dg-cli"),
    ("dagster-aws", "dagster-k8s", "dagster-postgres"),
)


def examine_installation() -> Iterator[Finding]:
    """Yield the versions of Python and of packages, and whether Dagster's fit together."""
    yield Finding("python", True, sys.version.split()[0])
    for name in _SHOWN:
        version = _version(name)
        missing = "is not installed: install mlops_assets again"
        yield Finding(name, version is not None, version or missing)
    different = [text for group in _TOGETHER if (text := _differing(group))]
    yield Finding(
        "dagster packages",
        not different,
        f"{'; '.join(different)}: install those of one release"
        if different
        else "are of one release",
    )


def _differing(names: Iterable[str]) -> str:
    """Return packages with their versions, if these differ; empty if not."""
    found = {name: version for name in names if (version := _version(name))}
    if len(set(found.values())) < 2:
        return ""
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
