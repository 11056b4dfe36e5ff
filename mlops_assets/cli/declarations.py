"""Declarations of the project as its YAML files have them, read without loading the project.

For completion and overviews only: what Python code declares is not among them. Commands that act
load the project.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlops_assets.settings import DEFAULT_MODULE, project_module


def declared(component: str) -> Iterator[dict[str, Any]]:
    """Yield the attributes of each component of a kind, such as `TrainedModel`.

    Files that cannot be read are left out.

    Args:
        component: the last part of the component's type.
    """
    import yaml

    for path in sorted(_folder().rglob("*.yaml")):
        try:
            documents = list(yaml.safe_load_all(path.read_text()))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        for document in documents:
            kind = document.get("type") if isinstance(document, dict) else None
            attributes = document.get("attributes") if isinstance(document, dict) else None
            wanted = isinstance(kind, str) and kind.rpartition(".")[2] == component
            if wanted and isinstance(attributes, dict) and isinstance(attributes.get("name"), str):
                yield attributes


def _folder() -> Path:
    """Return the folder of the project's declarations."""
    module = project_module()
    if module == DEFAULT_MODULE:
        found = importlib.util.find_spec("mlops_assets")
        root = Path(found.origin).parent if found is not None and found.origin else Path()
    else:
        root = Path.cwd().joinpath(*module.split(".")[:-1])
    return root / "defs"
