"""The scripts of deployments/docker, as modules."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

from mlops_assets_tests.deployments.docker.composed import DOCKER


def script(name: str) -> ModuleType:
    """Return the script of a name."""
    spec = spec_from_file_location(name, DOCKER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
