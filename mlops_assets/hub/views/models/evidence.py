"""The documents of model versions that pages quote, each verified as it is read.

A damaged one is a problem of its version, and does not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.models.gates.outcomes import GatesDocument
from mlops_assets.paths import gates_key, model_folder
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.registry.model_documents import Metrics
from mlops_assets.store import Store

_AT_ONCE = 8  # versions whose documents are read together

Key = tuple[str, str]
_GATES = TypeAdapter(GatesDocument)


@dataclass(frozen=True)
class Evidence:
    """What was published of a model version's quality.

    Attributes:
        metrics: its `metrics.json`; None if it was not measured, or the file is damaged.
        gates: its `gates.json`; None if it has none, or the file is damaged.
        problems: what could not be read, and why.
    """

    metrics: Metrics | None = None
    gates: GatesDocument | None = None
    problems: list[str] = field(default_factory=list)


def read_evidence(store: Store, versions: Iterable[Key]) -> dict[Key, Evidence]:
    """Return the evidence of model versions.

    Args:
        store: workspace and registry.
        versions: model and version of each, which the principal may see.
    """
    wanted = list(versions)
    if not wanted:
        return {}
    keys = [key for version in wanted for key in (_metrics_key(version), gates_key(*version))]
    published = {file.path for file in store.registry.files_at(*keys)}

    def read(version: Key) -> Evidence:
        problems: list[str] = []
        metrics = gates = None
        if (key := _metrics_key(version)) in published:
            content = _content(store, key, problems)
            try:
                metrics = None if content is None else Metrics.model_validate_json(content)
            except ValidationError as error:
                problems.append(f"{key} is not a document of metrics: {error.errors()[0]['msg']}")
        if (key := gates_key(*version)) in published:
            content = _content(store, key, problems)
            try:
                gates = None if content is None else _GATES.validate_json(content)
            except ValidationError as error:
                problems.append(f"{key} is not a document of gates: {error.errors()[0]['msg']}")
        return Evidence(metrics, gates, problems)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(read, wanted), strict=True))


def _metrics_key(version: Key) -> str:
    return f"{model_folder(*version)}/metrics.json"


def _content(store: Store, key: str, problems: list[str]) -> bytes | None:
    try:
        return read_published(store.workspace, store.registry, key)
    except (IntegrityError, StorageError) as error:
        problems.append(str(error))
        return None
