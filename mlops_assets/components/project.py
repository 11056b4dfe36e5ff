"""Loading a project: every declaration is checked first, and all errors are reported together, each with its line."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._utils.warnings import disable_dagster_warnings
from dagster.components.core.load_defs import PLUGIN_COMPONENT_TYPES_JSON_METADATA_KEY
from dagster.components.core.package_entry import DG_PLUGIN_ENTRY_POINT_GROUP, discover_package_objects
from dagster.components.core.snapshot import get_package_entry_snap
from dagster_shared.serdes.objects.package_entry import ComponentTypeNamespaceJson, json_for_all_components
from dagster_shared.yaml_utils import parse_yamls_with_source_position
from dagster_shared.yaml_utils.source_position import ValueAndSourcePositionTree
from pydantic import BaseModel, ValidationError
from yaml import YAMLError

from mlops_assets.datasets.scaling import named
from mlops_assets.errors import SpecificationError
from resources import MlflowMirror, StoreResource

FILE_NAMES = ("defs.yaml", "component.yaml")
PACKAGE = __name__.rpartition(".")[0]
# whether definitions carry what Dagster's docs tab shows; our own commands, which show none, switch it off
documented: ContextVar[bool] = ContextVar("documented", default=True)


@dataclass(frozen=True)
class Declaration:
    """One YAML document that declares one of our components."""

    kind: str
    file: Path
    document: ValueAndSourcePositionTree
    model: type[BaseModel]

    def where(self, *keys: Any) -> str:
        """Return `file:line` of a key, or of the nearest one around it."""
        position, _ = self.document.source_position_tree.lookup_closest_and_path(["attributes", *keys], None)
        return f"{self.file}:{position.start.line}"

    def attribute(self, key: str) -> str | None:
        """Return one attribute as written, if it is a text."""
        attributes = self.document.value.get("attributes") or {}
        value = attributes.get(key) if isinstance(attributes, dict) else None
        return value if isinstance(value, str) else None


def load_project(file: str) -> dg.Definitions:
    """Load the project whose `definitions.py` is `file`: everything in its defs folder, and what our assets need.

    Raises:
        SpecificationError: declarations are wrong; each error is listed with file, line and key.
    """
    package = Path(file).resolve().parent
    check_declarations(package / "defs")
    tree = dg.ComponentTree.for_project(package)
    with disable_dagster_warnings():  # as load_from_defs_folder does: about Dagster's own code, not the user's
        loaded = tree.build_defs(tree.defs_module_path)
    return dg.Definitions.merge(
        loaded,
        dg.Definitions(
            resources={"store": StoreResource(), "mlflow": MlflowMirror()},
            executor=dg.in_process_executor,
            component_tree=tree,
            metadata={PLUGIN_COMPONENT_TYPES_JSON_METADATA_KEY: _component_documentation()} if documented.get() else {},
        ),
    )


def _component_documentation() -> list[ComponentTypeNamespaceJson]:
    """Return what Dagster's docs tab shows: the component types of the libraries that declarations have imported.

    `load_from_defs_folder` imports every installed component library for it, whether it is used or not; `dagster-aws`
    alone takes as long as Dagster itself.
    """
    registered = importlib.metadata.entry_points(group=DG_PLUGIN_ENTRY_POINT_GROUP)
    used = sorted({entry.value for entry in registered if entry.value in sys.modules})
    snapshots = [get_package_entry_snap(key, entry) for key, entry in discover_package_objects(used).items()]
    return json_for_all_components(snapshots)


def check_declarations(folder: Path) -> None:
    """Check every declaration of ours below a folder.

    Raises:
        SpecificationError: all errors, one a line, with file, line and key.
    """
    declarations, problems = _read(folder)
    for declaration in declarations:
        problems += _problems(declaration)
    problems += _disagreements(declarations)
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise SpecificationError(f"{len(problems)} problem(s) in the declarations below {folder}:\n{listed}")


def _read(folder: Path) -> tuple[list[Declaration], list[str]]:
    found: list[Declaration] = []
    problems: list[str] = []
    for file in sorted(path for name in FILE_NAMES for path in folder.rglob(name)):
        try:
            documents = parse_yamls_with_source_position(file.read_text(), str(file))
        except (YAMLError, UnicodeDecodeError) as error:
            problems.append(f"{file}: is no YAML: {' '.join(str(error).split())}")
            continue
        if not documents:
            problems.append(f"{file}: is empty; declare something or remove the file")
        for document in documents:
            line = document.source_position_tree.position.start.line
            kind = document.value.get("type") if isinstance(document.value, dict) else None
            if not isinstance(kind, str):
                problems.append(
                    f"{file}:{line}: type: names no component; write e.g. 'type: {PACKAGE}.TrainingDataset'"
                )
            elif kind.split(".")[0] == PACKAGE.split(".")[0]:
                component = getattr(importlib.import_module(PACKAGE), kind.removeprefix(f"{PACKAGE}."), None)
                if component is None or not hasattr(component, "get_model_cls"):
                    problems.append(f"{file}:{line}: type: there is no component {kind}; see 'dg list components'")
                else:
                    found.append(Declaration(component.__name__, file, document, component.get_model_cls()))
    return found, problems


def _problems(declaration: Declaration) -> list[str]:
    attributes = declaration.document.value.get("attributes")
    try:
        declaration.model.model_validate(attributes if attributes is not None else {})
    except ValidationError as error:
        return [
            f"{declaration.where(*e['loc'])}: {'.'.join(['attributes', *map(str, e['loc'])])}: {_message(e)}"
            for e in error.errors()
        ]
    return []


def _message(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key; remove it or correct its spelling"
    return str(error["msg"]).removeprefix("Value error, ")


def _disagreements(declarations: list[Declaration]) -> list[str]:
    """Find what is wrong between declarations: names declared twice, and models of datasets that are not there."""
    problems: list[str] = []
    seen: dict[str, str] = {}
    for declaration in declarations:
        name = declaration.attribute("name")
        if name in seen:
            problems.append(f"{declaration.where('name')}: attributes.name: {name!r} is declared at {seen[name]} too")
        elif name is not None:
            seen[name] = declaration.where("name")
    datasets = {d.attribute("name") for d in declarations if d.kind == "TrainingDataset"}
    for declaration in declarations:
        dataset = declaration.attribute("dataset")
        if declaration.kind == "TrainedModel" and dataset is not None and dataset not in datasets:
            problems.append(
                f"{declaration.where('dataset')}: attributes.dataset: no TrainingDataset is called {dataset!r}; "
                f"there is {', '.join(sorted(map(str, datasets))) or 'none'}"
            )
    return problems + _unknown_bands(declarations) + _shared_queues(declarations)


def _unknown_bands(declarations: list[Declaration]) -> list[str]:
    """Find bands of models that their dataset lacks, where it declares their names; else training finds them."""
    known = {d.attribute("name"): _declared_features(d) for d in declarations if d.kind == "TrainingDataset"}
    problems = []
    for declaration in declarations:
        names = known.get(declaration.attribute("dataset")) if declaration.kind == "TrainedModel" else None
        attributes = declaration.document.value.get("attributes")
        bands = attributes.get("bands") if isinstance(attributes, dict) else None
        unknown = [band for band in bands if band not in names] if names and isinstance(bands, list) else []
        if names and unknown:
            problems.append(
                f"{declaration.where('bands')}: attributes.bands: {declaration.attribute('dataset')} has no "
                f"{', '.join(map(str, unknown))}; it has {named(names)}"
            )
    return problems


def _shared_queues(declarations: list[Declaration]) -> list[str]:
    """Find datasets that read one queue: each would delete the messages that the other waits for."""
    problems: list[str] = []
    seen: dict[str, str] = {}
    keys = ("source", "notifications", "queue")
    for declaration in declarations:
        found = declaration.document.value.get("attributes")
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, str) and found in seen:
            problems.append(
                f"{declaration.where(*keys)}: attributes.{'.'.join(keys)}: {found} is read at {seen[found]} too; "
                "give each dataset a queue of its own"
            )
        elif isinstance(found, str):
            seen[found] = declaration.where(*keys)
    return problems


def _declared_features(declaration: Declaration) -> list[str] | None:
    """Return the names of bands or feature columns that a dataset declares, if it does."""
    for path in (("attributes", "bands", "names"), ("attributes", "source", "table", "features")):
        found = declaration.document.value
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, list) and all(isinstance(name, str) for name in found):
            return found
    return None
