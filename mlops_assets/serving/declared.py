"""The services that a project declares, read from its YAML.

A server starts without Dagster, which would take most of its start and of its memory; what only
Dagster can resolve is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import ValidationError

from mlops_assets.errors import SpecificationError
from mlops_assets.serving.specification import ServiceSpecification

_FILES = ("defs.yaml", "component.yaml")
_COMPONENT = "ModelService"
_TEMPLATE = "{{"


def declared_services(folder: Path) -> list[ServiceSpecification]:
    """Return the services that the files below a folder declare.

    Args:
        folder: of a project's definitions.

    Raises:
        SpecificationError: a declaration cannot be read, or needs Dagster to be resolved.
    """
    found = sorted(path for name in _FILES for path in folder.rglob(name))
    visible = [
        path
        for path in found
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    return [service for path in visible for service in _services_in(path)]


def _services_in(path: Path) -> Iterator[ServiceSpecification]:
    text = path.read_text(encoding="utf-8", errors="replace")
    if _COMPONENT not in text:
        return
    try:
        documents = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise SpecificationError(f"{path} is not valid YAML: {error}") from error
    for document in documents:
        kind = document.get("type") if isinstance(document, dict) else None
        if not isinstance(kind, str) or kind.rpartition(".")[2] != _COMPONENT:
            continue
        attributes = document.get("attributes")
        if not isinstance(attributes, dict):
            raise SpecificationError(f"{path}: {_COMPONENT} needs attributes")
        own = {
            name: value
            for name, value in attributes.items()
            if name in ServiceSpecification.model_fields
        }
        if _TEMPLATE in str(own):
            raise SpecificationError(
                f"{path}: a service is declared with {_TEMPLATE} … }}}}, which only Dagster can"
                " resolve: name what to serve, 'mlops serve MODEL@ALIAS', or write the values"
            )
        try:
            yield ServiceSpecification.model_validate(own)
        except ValidationError as error:
            listed = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]
            )
            raise SpecificationError(f"{path}: {listed}") from error
