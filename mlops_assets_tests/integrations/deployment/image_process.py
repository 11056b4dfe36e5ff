"""The server of an image in a Python that has only what its requirements name.

`python image_process.py REQUIREMENTS PACKAGE ARGUMENT …`: other distributions cannot be imported.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType


def canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


class Missing(MetaPathFinder):
    """Refuses modules of distributions that are not named."""

    def __init__(self, named: set[str]) -> None:
        self._refused = {
            module
            for module, own in packages_distributions().items()
            if not named.intersection(map(canonical, own))
        } - {"mlops_assets", "resources"}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in self._refused:
            raise ModuleNotFoundError(f"{fullname} is not among the requirements")
        return None


if __name__ == "__main__":
    requirements, package, *arguments = sys.argv[1:]
    lines = Path(requirements).read_text().split()
    sys.path.insert(0, package)
    sys.meta_path.insert(0, Missing({canonical(line.partition("==")[0]) for line in lines}))
    sys.argv = ["server", *arguments]
    runpy.run_module("mlops_assets.integrations.deployment.image.server", run_name="__main__")
