"""The environment that processes share with those they start, and with libraries they load."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dotenv import load_dotenv

from mlops_assets.errors import SettingsError
from mlops_assets.settings.configuration import current_environment

GPUS = "CUDA_VISIBLE_DEVICES"
PARENT_REGISTRY = "MLOPS_PARENT_REGISTRY"


def child_environment(defaults: Mapping[str, str], gpus: Sequence[str] = ()) -> dict[str, str]:
    """Return the environment of a process that this one starts.

    Args:
        defaults: variables, unless the user has set them.
        gpus: the devices it may use; if there are none, those that this process may use.
    """
    return {**defaults, **current_environment(), **({GPUS: ",".join(gpus)} if gpus else {})}


def parent_settings(registry: str) -> dict[str, str]:
    """Return the environment that a child process needs to reach the same registry."""
    return {PARENT_REGISTRY: registry}


def parent_registry() -> str:
    """Return the URL of the registry of the process that has started this one.

    Raises:
        SettingsError: it was not started so.
    """
    try:
        return os.environ[PARENT_REGISTRY]
    except KeyError:
        raise SettingsError(
            f"{PARENT_REGISTRY} is not set: this process is started by the platform only"
        ) from None


def declared_gpus() -> list[str] | None:
    """Return the GPUs that `CUDA_VISIBLE_DEVICES` leaves to this process.

    None if it is not set.
    """
    declared = os.environ.get(GPUS)
    return (
        None
        if declared is None
        else [n.strip() for n in declared.split(",") if n.strip() not in ("", "-1")]
    )


def container_image() -> str | None:
    """Return the image that this process runs in: `MLOPS_CONTAINER`, else as Dagster names it."""
    environment = current_environment()
    return environment.get("MLOPS_CONTAINER") or environment.get("DAGSTER_CURRENT_IMAGE") or None


def load_environment_file(directory: Path) -> None:
    """Load a `.env` file into the environment, as the dagster command does.

    Variables that are set already win.

    So credentials of object stores, which their libraries read from the environment themselves, may
    be in it too.
    """
    load_dotenv(directory / ".env", override=False)


def set_environment_defaults(values: Mapping[str, str]) -> None:
    """Set environment variables that a library reads, where the user has not set them."""
    for name, value in values.items():
        os.environ.setdefault(name, value)
