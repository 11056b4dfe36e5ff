"""Declarations of the project in its YAML files, read without loading the project.

For completion and overviews only: declarations in Python code are not among them. Commands that act
load the project.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.settings import DEFAULT_MODULE, project_module
from mlops_assets.text.json_values import JsonObject


@dataclass(frozen=True)
class UnvalidatedDeclaration:
    """A component as a YAML file declares it; nothing but its name is validated."""

    name: str
    attributes: JsonObject


def declared(*components: str) -> Iterator[UnvalidatedDeclaration]:
    """Yield the declarations of some kinds of components, such as `TrainedModel`.

    Files that cannot be read are left out.

    Args:
        components: the last parts of the components' types.
    """
    import yaml

    for path in sorted(_folder().rglob("*.yaml")):
        try:
            documents = list(yaml.safe_load_all(path.read_text()))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        for document in documents:
            if not isinstance(document, dict):
                continue
            kind = document.get("type")
            attributes = document.get("attributes")
            if not isinstance(kind, str) or not isinstance(attributes, dict):
                continue
            name = attributes.get("name")
            if kind.rpartition(".")[2] in components and isinstance(name, str):
                yield UnvalidatedDeclaration(name, attributes)


def _folder() -> Path:
    """Return the folder of the project's declarations."""
    module = project_module()
    if module == DEFAULT_MODULE:
        found = importlib.util.find_spec("mlops_assets")
        root = Path(found.origin).parent if found is not None and found.origin else Path()
    else:
        root = Path.cwd().joinpath(*module.split(".")[:-1])
    return root / "defs"
