"""The definitions of a code location, and what they declare."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from mlops_assets.components.naming import CLASS_VALUES, DECLARATION, LEFT_OUT
from mlops_assets.components.project.load import documented
from mlops_assets.errors import MlopsError, NotFound, SpecificationError
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.settings import project_module


@dataclass(frozen=True)
class DeclaredModels:
    """The models of a project by name, and the reasons why invalid ones are left out."""

    models: Mapping[str, ModelSpecification]
    left_out: Mapping[str, str]

    def get(self, name: str) -> ModelSpecification | None:
        """Return the declaration of a model, None if there is none.

        Raises:
            SpecificationError: it is declared wrongly.
        """
        if name not in self.models:
            require_well_declared(name, self.left_out)
        return self.models.get(name)


def models_of_project(module: str | None = None) -> DeclaredModels:
    """Return the models that a project declares.

    Args:
        module: definitions of the project, e.g. `my_project.definitions`; those of the current
            folder if not given.

    Raises:
        NotFound: there is no such module.
    """
    return models_of(load_definitions(module or project_module()))


def models_of(definitions: dg.Definitions) -> DeclaredModels:
    """Return the models that definitions declare."""
    return DeclaredModels(declared_models(definitions), left_out(definitions))


def left_out(definitions: dg.Definitions) -> dict[str, str]:
    """Return why datasets and models, by name, are not in the definitions of their project."""
    found = (definitions.metadata or {}).get(LEFT_OUT)
    data = found.data if isinstance(found, dg.JsonMetadataValue) else None
    return data if isinstance(data, dict) else {}


def require_well_declared(name: str, reasons: Mapping[str, str]) -> None:
    """Make sure that a declaration was not left out.

    Args:
        name: of a dataset, a model, an area or a service.
        reasons: those of `left_out`.

    Raises:
        SpecificationError: it was.
    """
    if name in reasons:
        raise SpecificationError(
            f"{name} is declared wrongly; correct its declaration:\n{reasons[name]}"
        )


def declared_models(definitions: dg.Definitions) -> dict[str, ModelSpecification]:
    """Return the models that definitions declare, by name."""
    models = [
        ModelSpecification.model_validate(found)
        for found in declarations_of(definitions, "trained_model")
    ]
    return {model.name: model for model in models}


def declarations_of(definitions: dg.Definitions, step: str) -> list[dict[str, object]]:
    """Return the declaration of each model or dataset, from the metadata of its asset of a step."""
    found = []
    for node in definitions.resolve_asset_graph().asset_nodes:
        value, values = (node.metadata.get(name) for name in (DECLARATION, CLASS_VALUES))
        if node.key.path[-1] != step or not isinstance(value, dg.JsonMetadataValue):
            continue
        declared = value.data
        if isinstance(declared, dict) and isinstance(values, dg.JsonMetadataValue):
            names = {str(each): each for each in values.data or []}
            classes = (declared.get("classes") or {}).items()
            declared = declared | {"classes": {names[key]: name for key, name in classes} or None}
        if isinstance(declared, dict):
            found.append(declared)
    return found


def load_definitions(module: str) -> dg.Definitions:
    """Import a code location's definitions.

    Raises:
        NotFound: the module cannot be imported or has no `defs`.
        SpecificationError: its own code fails.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    without = documented.set(False)
    try:
        found = importlib.import_module(module).defs
        loaded: dg.Definitions = found() if callable(found) else found
    except MlopsError:
        raise
    except (ImportError, AttributeError) as error:
        raise NotFound(
            f"{module} cannot be loaded: {error}; name the module with --module"
        ) from error
    except Exception as error:
        raise SpecificationError(
            f"{module} cannot be loaded: {type(error).__name__}: {error}; 'mlops --debug' shows"
            " where"
        ) from error
    finally:
        documented.reset(without)
    return loaded
