"""The project that a folder has: its definitions module, and where that is."""

from __future__ import annotations

import tomllib
from importlib.util import find_spec
from pathlib import Path

from mlops_assets.settings.configuration import current_environment

DEFAULT_MODULE = "mlops_assets.definitions"  # the shipped example


def project_module(directory: Path | None = None) -> str:
    """Return the definitions module of the project that commands work on.

    It is that of `MLOPS_MODULE`, which images of a project set; else that of `pyproject.toml` in
    the directory, and else the shipped example's.

    Args:
        directory: of the project; the current directory if None.
    """
    if module := current_environment().get("MLOPS_MODULE"):
        return module
    try:
        text = ((directory or Path.cwd()) / "pyproject.toml").read_text()
        root = tomllib.loads(text)["tool"]["dg"]["project"]["root_module"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return DEFAULT_MODULE
    return f"{root}.definitions"


def project_folder(module: str, directory: Path | None = None) -> Path | None:
    """Return the folder of the package that a definitions module is in, without importing it.

    Args:
        module: such as `my_project.definitions`.
        directory: of the project; the current directory if None.

    Returns:
        The folder; None if there is no such package.
    """
    package = module.rpartition(".")[0] or module
    local = (directory or Path.cwd()).joinpath(*package.split("."))
    if local.is_dir():
        return local
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        return None
    return Path(found.origin).parent if found is not None and found.origin else None
