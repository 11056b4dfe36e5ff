"""Docstrings of the extension surface name every argument, what is returned, and what is raised.

The surface is what users of the package call or implement; the rest is checked by ruff's rules.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.readers import Layout
from mlops_assets.datasets.sources import open_landing
from mlops_assets.datasets.sources.base import Landing
from mlops_assets.external import external_run
from mlops_assets.integrations.external.external_run import ExternalRun
from mlops_assets.models.frameworks import Framework, framework_named, framework_of
from mlops_assets.processing.function import ProcessingInput, ProcessingRun, load_processing
from mlops_assets.registry import Registry, open_registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store, open_store
from mlops_assets.training.run import TrainingRun
from mlops_assets.training.trainers import Trainer, load_trainer

CLASSES: list[type] = [
    ExternalRun,
    Framework,
    Landing,
    Layout,
    ProcessingInput,
    ProcessingRun,
    Registry,
    Store,
    Trainer,
    TrainingData,
    TrainingRun,
    Workspace,
]
FUNCTIONS: list[Callable[..., object]] = [
    external_run,
    framework_named,
    framework_of,
    load_processing,
    load_trainer,
    open_landing,
    open_registry,
    open_store,
]


def surface() -> Iterator[Callable[..., object]]:
    yield from FUNCTIONS
    for owner in CLASSES:
        for name, member in inspect.getmembers(owner):
            ours = str(getattr(member, "__module__", None)).startswith("mlops_assets")
            if ours and inspect.isroutine(member) and not name.startswith("_"):
                yield inspect.unwrap(member)


def gaps(function: Callable[..., object]) -> list[str]:
    documented = inspect.getdoc(function) or ""
    signature = inspect.signature(function)
    missing = [
        f"Args: {name}"
        for name, parameter in signature.parameters.items()
        if name not in ("self", "cls")
        and not re.search(rf"^\s+\*{{0,2}}{name}:", documented, re.MULTILINE)
    ]
    # a section may be left out where the first line has it all, as Google's style guide allows
    returns = documented.startswith(("Return ", "Yield ")) or re.search(
        r"^(Returns|Yields):", documented, re.MULTILINE
    )
    if signature.return_annotation not in ("None", "Iterator[None]") and not returns:
        missing.append("Returns")
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raises = any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))
    if raises and not re.search(r"^Raises:", documented, re.MULTILINE):
        missing.append("Raises")
    return missing


def test_arguments_results_and_errors_are_documented() -> None:
    missing = {function.__qualname__: gaps(function) for function in surface()}
    assert {name: found for name, found in missing.items() if found} == {}
