"""The chain behind a model version as nodes: data → run → code → model → record → what uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.hub.views.addresses import data_path, map_path, model_path, run_path
from mlops_assets.lineage.chain import (
    DataLineage,
    ModelLineage,
    RunLineage,
    lineage_without_data,
    model_lineage,
)
from mlops_assets.lineage.deployments import DeploymentLineage
from mlops_assets.names import Reference
from mlops_assets.paths import record_owner
from mlops_assets.store import Store

MAX_SHOWN = 8  # maps, and deployments

NodeKind = Literal["data", "run", "code", "model", "record", "deployment", "map", "registry"]
NodeState = Literal["not checked", "verified", "broken", "hidden", "unknown"]

MODEL, RECORD, RUN, CODE, REGISTRY = "model", "record", "run", "code", "registry"


@dataclass(frozen=True)
class ChainNode:
    """A part of a chain.

    Attributes:
        id: of the node, within its chain.
        kind: of the part.
        title: its name.
        facts: a few words each.
        page: path of its page; None if it has none.
        made_from: ids of the nodes that it comes from.
        state: whether it is as it was published. `hidden` is what the principal may not see,
            `unknown` what the registry does not have.
        problems: what is not as it was published, naming the file.
    """

    id: str
    kind: NodeKind
    title: str
    facts: list[str]
    page: str | None
    made_from: list[str]
    state: NodeState = "not checked"
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Chain:
    """The chain behind a model version, what is made first before what is made from it.

    Attributes:
        reference: `model@version`.
        nodes: its parts.
        verified: when it was verified; None if it was not.
        files: number of files that were read again.
        size: their size in bytes.
        notes: on what is as it was published, but not shown or not compared.
    """

    reference: str
    nodes: list[ChainNode]
    verified: datetime | None = None
    files: int = 0
    size: int = 0
    notes: list[str] = field(default_factory=list)


def version_chain(store: Store, reference: Reference) -> Chain:
    """Return the chain behind a model version.

    Args:
        store: workspace and registry.
        reference: to the version.

    Raises:
        NotFound: there is no such version that the principal may see.
    """
    return chain_of(store, *readable_lineage(store, reference))


def readable_lineage(store: Store, reference: Reference) -> tuple[ModelLineage, str | None]:
    """Return the chain behind a model version, and why its data cannot be listed.

    Args:
        store: workspace and registry.
        reference: to the version.

    Raises:
        NotFound: there is no such version that the principal may see.
    """
    row = store.registry.model_version(reference)
    try:
        return model_lineage(store, Reference(row.model, row.version)), None
    except (IntegrityError, StorageError) as error:
        return lineage_without_data(store, row), str(error)


def chain_of(store: Store, lineage: ModelLineage, problem: str | None = None) -> Chain:
    """Return a chain as nodes.

    Args:
        store: workspace and registry.
        lineage: the chain.
        problem: why its data cannot be listed; None if they are.
    """
    reference = Reference.parse(lineage.reference)
    data = _data(lineage) if problem is None else [_damaged(lineage.trained_on, problem)]
    nodes = [*data, *_run(lineage), _model(lineage)]
    version = str(reference.what)
    records = store.registry.files(record_owner(reference.name, version))
    if records:
        facts = [f"sha256 {records[0].sha256[:12]}"]
        page = f"{model_path(reference)}?tab=files"
        nodes.append(ChainNode(RECORD, "record", "STAC record", facts, page, [MODEL]))
    last = RECORD if records else MODEL
    for number, made in enumerate(lineage.deployments[:MAX_SHOWN]):
        nodes.append(_deployment(number, made, last, reference))
    for number, (name, digest) in enumerate(list(lineage.maps.items())[:MAX_SHOWN]):
        page = map_path(reference.name, version, name)
        nodes.append(
            ChainNode(f"map{number}", "map", f"map {name}", [f"digest {digest[:12]}"], page, [last])
        )
    return Chain(lineage.reference, nodes, notes=_left_out(lineage))


def _left_out(lineage: ModelLineage) -> list[str]:
    found: Mapping[str, int] = {
        "deployments": len(lineage.deployments) - MAX_SHOWN,
        "maps": len(lineage.maps) - MAX_SHOWN,
    }
    return [f"{more} more {name} are not shown" for name, more in found.items() if more > 0]


def _data(lineage: ModelLineage) -> list[ChainNode]:
    """Return the data versions, those that others were made from first."""
    nodes = [
        ChainNode(f"data {name}", "data", name, ["you may not see it"], None, [], "hidden")
        for name in lineage.hidden
    ]
    nodes += [
        ChainNode(f"data {name}", "data", name, ["not in the registry"], None, [], "unknown")
        for name in lineage.unknown
    ]
    return nodes + [_data_version(data) for data in reversed(lineage.data)]


def _damaged(reference: str, problem: str) -> ChainNode:
    node, facts = f"data {reference}", ["its files cannot be listed"]
    return ChainNode(node, "data", reference, facts, data_path(reference), [], "broken", [problem])


def _data_version(data: DataLineage) -> ChainNode:
    size = sum(file.size for file in data.files)
    made = [] if data.function is None else [f"made by {data.function}"]
    return ChainNode(
        id=f"data {data.reference}",
        kind="data",
        title=data.reference,
        facts=[
            f"{len(data.files):,} files, {size:,} bytes",
            f"digest {data.digest[:12]}",
            f"by {data.created_by}, {data.created:%Y-%m-%d %H:%M} UTC",
            *made,
            *(f"tag {tag}" for tag in data.tags),
        ],
        page=data_path(data.reference),
        made_from=[f"data {name}" for name in data.inputs],
    )


def _run(lineage: ModelLineage) -> list[ChainNode]:
    trained_on = [f"data {lineage.trained_on}"]
    run = lineage.run
    if run is None:
        facts = ["made from data that you may not see"]
        return [ChainNode(RUN, "run", "training run", facts, None, trained_on, "hidden")]
    facts = [f"by {run.created_by or 'unknown'}", f"{run.started:%Y-%m-%d %H:%M} UTC"]
    if run.imported:
        facts.append(f"imported from {run.imported.get('source', 'an unknown place')}")
    page = run_path(run.run_id)
    return [
        ChainNode(RUN, "run", f"run {run.run_id[:8]}", facts, page, trained_on),
        _code(run, page),
    ]


def _code(run: RunLineage, page: str) -> ChainNode:
    facts = [f"version {run.code_version}"]
    if "commit" in run.code:
        facts.append(f"commit {run.code['commit'][:12]}")
    if "diff" in run.code:
        facts.append(f"uncommitted changes {run.code['diff'][:12]}")
    if run.environment is not None:
        facts.append(f"environment {run.environment[:12]}")
    return ChainNode(CODE, "code", run.trainer, facts, page, [RUN])


def _model(lineage: ModelLineage) -> ChainNode:
    reference = Reference.parse(lineage.reference)
    facts = [f"alias {alias}" for alias in lineage.aliases]
    facts += [f"{name} sha256 {sha256[:12]}" for name, sha256 in sorted(lineage.evaluation.items())]
    before = [CODE] if lineage.run is not None else [RUN]
    page = model_path(reference)
    return ChainNode(MODEL, "model", lineage.reference, facts, page, before)


def _deployment(number: int, made: DeploymentLineage, last: str, reference: Reference) -> ChainNode:
    return ChainNode(
        id=f"deployment{number}",
        kind="deployment",
        title=f"service {made.service}",
        facts=[
            f"{made.action}{' (active)' if made.active else ''}, {made.engine}",
            f"by {made.deployed_by}, {made.deployed:%Y-%m-%d %H:%M} UTC",
            f"sha256 {made.sha256[:12]}",
        ],
        page=f"{model_path(reference.name)}?tab=deployments",
        made_from=[last],
    )
