"""The verification of a chain: what `mlops model verify` finds, by the node that it is about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mlops_assets.hub.views.models.version.chain import (
    CODE,
    MODEL,
    RECORD,
    REGISTRY,
    RUN,
    Chain,
    ChainNode,
    chain_of,
    readable_lineage,
)
from mlops_assets.lineage.chain import ModelLineage
from mlops_assets.models.verify import verify_model
from mlops_assets.names import Reference
from mlops_assets.paths import (
    CATALOG,
    DATASETS,
    MAPS,
    MODELS,
    OBJECTS,
    PREDICTIONS,
    PRIVATE,
    RUNS,
    model_folder,
    object_key,
    predictions_folder,
)
from mlops_assets.registry.session import now
from mlops_assets.store import Store

_OBJECT = re.compile(rf"{OBJECTS}/[0-9a-f]{{2}}/[0-9a-f]{{62}}")


def verify_chain(store: Store, reference: Reference) -> Chain:
    """Read every byte behind a model version again, and return its chain with what was found.

    Args:
        store: workspace and registry.
        reference: to the version.

    Raises:
        NotFound: there is no such version that the principal may see.
    """
    row = store.registry.model_version(reference)
    lineage, problem = readable_lineage(store, Reference(row.model, row.version))
    chain = chain_of(store, lineage, problem)
    found = verify_model(store, row)
    by_node = _Places(lineage, chain.nodes).by_node(found.problems)
    by_node_of_use = _deployed_differently(lineage)
    nodes = [
        _verified(node, [*by_node.get(node.id, []), *by_node_of_use.get(node.id, [])])
        for node in chain.nodes
    ]
    if others := by_node.get(REGISTRY, []):
        nodes.append(
            ChainNode(REGISTRY, "registry", "registry and log", [], None, [], "broken", others)
        )
    hidden = [f"{name} was not read: you may not see it" for name in found.hidden]
    return replace(
        chain,
        nodes=nodes,
        verified=now(),
        files=found.files,
        size=found.size,
        notes=[*chain.notes, *hidden, *found.notes],
    )


def _verified(node: ChainNode, problems: list[str]) -> ChainNode:
    if problems:
        return replace(
            node, state="broken", problems=list(dict.fromkeys([*node.problems, *problems]))
        )
    return replace(node, state="verified") if node.state == "not checked" else node


def _deployed_differently(lineage: ModelLineage) -> dict[str, list[str]]:
    """Return active deployments whose file is not the version's → why."""
    onnx = lineage.evaluation.get("model.onnx")
    return {
        f"deployment{number}": [
            f"service {made.service} has sha256 {made.sha256[:12]}…, model.onnx has"
            f" {str(onnx)[:12]}…; deploy it again"
        ]
        for number, made in enumerate(lineage.deployments)
        if made.active and made.sha256 != onnx
    }


class _Places:
    """The nodes that problems are about, by the files and names that their text begins with."""

    def __init__(self, lineage: ModelLineage, nodes: Sequence[ChainNode]) -> None:
        self._ids = {node.id for node in nodes}
        reference = Reference.parse(lineage.reference)
        model, version = reference.name, str(reference.what)
        catalogs = f"(?:{CATALOG}|{PRIVATE})"
        maps = [
            (f"{re.escape(predictions_folder(model, version))}/{re.escape(name)}[.]", f"map{i}")
            for i, name in enumerate(lineage.maps)
        ]
        data = [
            pattern
            for name in dict.fromkeys(
                [*(own.reference for own in lineage.data), lineage.trained_on]
            )
            for pattern in _patterns_of_data(name, catalogs)
        ]
        run = [] if lineage.run is None else [re.escape(lineage.run.run_id)]
        self._patterns = [
            (re.compile(pattern), node)
            for pattern, node in (
                *maps,
                (f"{catalogs}/{MAPS}/|{PREDICTIONS}/", "map0"),
                *data,
                *((f"{RUNS}/{name}/|runs {name}", RUN) for name in run),
                (f"{catalogs}/{MODELS}/{re.escape(model)}/", RECORD),
                (f"{re.escape(model_folder(model, version))}/", MODEL),
                (rf"{re.escape(model)}[@/]{re.escape(version)}(?![\w-])", MODEL),
            )
        ]
        self._objects = dict(_objects(lineage))

    def by_node(self, problems: Sequence[str]) -> dict[str, list[str]]:
        """Return id of a node → its problems; those that are about none are the registry's."""
        found: dict[str, list[str]] = {}
        for problem in problems:
            node = self._node(problem)
            found.setdefault(node if node in self._ids else REGISTRY, []).append(problem)
        return found

    def _node(self, problem: str) -> str:
        if (key := _OBJECT.search(problem)) and key[0] in self._objects:
            return self._objects[key[0]]
        return next((node for place, node in self._patterns if place.search(problem)), REGISTRY)


def _patterns_of_data(name: str, catalogs: str) -> Iterator[tuple[str, str]]:
    reference = Reference.parse(name)
    place = f"{re.escape(reference.name)}/{re.escape(str(reference.what))}"
    yield f"(?:{catalogs}/)?{DATASETS}/{place}/", f"data {name}"
    yield rf"data_versions {place}(?![\w-])|^(?:\S+ )*{re.escape(name)}(?![\w-]):", f"data {name}"


def _objects(lineage: ModelLineage) -> Iterator[tuple[str, str]]:
    """Yield the keys of objects, and the nodes that they belong to."""
    for data in lineage.data:
        for file in data.files:
            yield object_key(file.sha256), f"data {data.reference}"
    run = lineage.run
    if run is not None:
        for sha256 in (run.environment, run.code.get("diff"), run.code.get("source")):
            if sha256 is not None:
                yield object_key(sha256), CODE
