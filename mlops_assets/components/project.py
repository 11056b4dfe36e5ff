"""Loading a project: every declaration is checked first, and all errors are reported together, each with its line."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_shared.yaml_utils import parse_yamls_with_source_position
from dagster_shared.yaml_utils.source_position import ValueAndSourcePositionTree
from pydantic import BaseModel, ValidationError
from yaml import YAMLError

from mlops_assets.errors import SpecificationError
from resources import StoreResource

FILE_NAMES = ("defs.yaml", "component.yaml")


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

    def attribute(self, key: str) -> Any:
        """Return one attribute as written."""
        attributes = self.document.value.get("attributes") or {}
        return attributes.get(key) if isinstance(attributes, dict) else None


def load_project(file: str) -> dg.Definitions:
    """Load the project whose `definitions.py` is `file`: everything in its defs folder, and what our assets need.

    Raises:
        SpecificationError: declarations are wrong; each error is listed with file, line and key.
    """
    package = Path(file).resolve().parent
    check_declarations(package / "defs")
    loaded = dg.load_from_defs_folder(path_within_project=package)
    return dg.Definitions.merge(
        loaded, dg.Definitions(resources={"store": StoreResource()}, executor=dg.in_process_executor)
    )


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
        except YAMLError as error:
            problems.append(f"{file}: is no YAML: {' '.join(str(error).split())}")
            continue
        found += [declaration for document in documents for declaration in _ours(file, document)]
    return found, problems


def _ours(file: Path, document: ValueAndSourcePositionTree) -> Iterator[Declaration]:
    kind = document.value.get("type") if isinstance(document.value, dict) else None
    module, _, name = str(kind).rpartition(".")
    if module.split(".")[0] != __name__.split(".")[0]:
        return
    component = getattr(importlib.import_module(__name__.rpartition(".")[0]), name, None)
    if component is not None and hasattr(component, "get_model_cls"):
        yield Declaration(name, file, document, component.get_model_cls())


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
    return problems
