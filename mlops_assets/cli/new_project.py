"""`mlops init`: a new project, whose YAML and trainers live outside of this repository."""

from __future__ import annotations

import importlib.util
import keyword
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from mlops_assets.cli.terminal.output import console
from mlops_assets.errors import Conflict
from mlops_assets.names import check_name


def init(
    directory: Annotated[
        Path, typer.Argument(help="Folder to create; its name becomes the package's name.")
    ],
) -> None:
    """Create a project with definitions, an example dataset and model, and a workspace."""
    from mlops_assets.components.project.home import prepare_home

    root = directory.expanduser().resolve()
    name = check_name(root.name.replace("-", "_"), "project name")
    if root.exists() and any(root.iterdir()):
        raise Conflict(f"{root} is not empty; choose a new folder")
    if keyword.iskeyword(name) or importlib.util.find_spec(name) is not None:
        raise Conflict(
            f"a project called {name!r} would hide the Python package of that name; choose another"
            " folder name"
        )
    home = root / "workspace" / "dagster"
    _copy(
        files("mlops_assets.cli") / "templates" / "project", root, {"name": name, "home": str(home)}
    )
    prepare_home(home)
    console.print(
        f"created {root}; next:\n  cd {directory}\n  mlops dataset commit samples\n  mlops train"
        " samples_forest\nor, in the browser, with Dagster's sensors and daemon:\n  mlops up",
    )


def _copy(source: Traversable, target: Path, values: dict[str, str]) -> None:
    """Copy a tree of templates.

    `$name` is filled in, in file names too, and the ending `.tmpl` is dropped.
    """
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        path = target / Template(entry.name.removesuffix(".tmpl")).substitute(values)
        if entry.is_dir():
            _copy(entry, path, values)
        elif entry.name.endswith(".tmpl"):
            path.write_text(Template(entry.read_text()).substitute(values))
        else:
            path.write_bytes(entry.read_bytes())
