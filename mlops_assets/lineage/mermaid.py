"""A chain as a Mermaid flowchart, which GitHub, GitLab and most Markdown viewers draw."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mlops_assets.lineage.chain import DataLineage, ModelLineage, RunLineage
from mlops_assets.lineage.maps import MapLineage
from mlops_assets.text.printable import printable

MAX_SHOWN = 8  # metrics and parameters; JSON has all
_MAX_VALUE = 60  # characters
# characters with a meaning in a label
_SPECIAL = re.compile(r"[\"#&<>`\\;]")


def mermaid(lineage: ModelLineage) -> str:
    """Return a chain as a flowchart from the metrics down to the files.

    Args:
        lineage: the chain.
    """
    return "\n".join(["flowchart LR", *(f"  {line}" for line in _lines(lineage))]) + "\n"


def map_mermaid(made: MapLineage, behind: ModelLineage) -> str:
    """Return a map as a flowchart: to its scenes and their files, and to the chain of its model.

    Args:
        made: the map.
        behind: the chain behind its model version.
    """
    chain = replace(behind, maps={made.name: made.digest})
    lines = [*_lines(chain), *_scenes(made)]
    return "\n".join(["flowchart LR", *(f"  {line}" for line in lines)]) + "\n"


def _scenes(made: MapLineage) -> Iterator[str]:
    for number, scene in enumerate(made.scenes[:MAX_SHOWN]):
        acquired = [] if scene.acquired is None else [f"{scene.acquired:%Y-%m-%d %H:%M:%S} UTC"]
        files = _checksums({file.asset or "sha256": file.sha256 for file in scene.files})
        yield _node(f"scene{number}", scene.name, scene.href, *acquired, *files)
        yield f"map0 --> scene{number}"
    more = len(made.scenes) - MAX_SHOWN
    if more > 0:
        yield _node("scenes", f"{more} more scenes")
        yield "map0 --> scenes"


def _maps(lineage: ModelLineage) -> Iterator[str]:
    """Yield the maps that were made by the model version, newest first."""
    for number, (name, digest) in enumerate(list(lineage.maps.items())[:MAX_SHOWN]):
        yield _node(f"map{number}", f"map {name}", f"digest {digest[:12]}")
        yield f"map{number} --> model"
    more = len(lineage.maps) - MAX_SHOWN
    if more > 0:
        yield _node("maps", f"{more} more maps")
        yield "maps --> model"


def _deployments(lineage: ModelLineage) -> Iterator[str]:
    """Yield the deployments of the model version, newest first."""
    for number, made in enumerate(lineage.deployments[:MAX_SHOWN]):
        state = " (active)" if made.active else ""
        by = f"by {made.deployed_by}, {made.deployed:%Y-%m-%d %H:%M:%S} UTC"
        action = f"{made.action}{state}, {made.engine}"
        digest = f"sha256 {made.sha256[:12]}"
        yield _node(f"deployment{number}", f"service {made.service}", action, by, digest)
        yield f"deployment{number} --> model"
    more = len(lineage.deployments) - MAX_SHOWN
    if more > 0:
        yield _node("deployments", f"{more} more deployments")
        yield "deployments --> model"


def _lines(lineage: ModelLineage) -> Iterator[str]:
    run = lineage.run
    if lineage.metrics:
        yield _node("metrics", "metrics of the test split", *_pairs(lineage.metrics))
        yield _node("evaluation", "evaluation", *_checksums(lineage.evaluation))
        yield "metrics --> evaluation --> model"
    aliases = [f"alias {alias}" for alias in lineage.aliases]
    yield _node("model", lineage.reference, *aliases, lineage.framework, lineage.visibility)
    yield from _maps(lineage)
    yield from _deployments(lineage)
    yield "model --> run"
    if run is None:
        yield _node("run", "run", "made from data that you may not see")
    else:
        by = f"by {run.created_by or 'unknown'}"
        yield _node("run", f"run {run.run_id[:8]}", by, f"{run.started:%Y-%m-%d %H:%M:%S} UTC")
        yield from _inputs_of(run)
    names = {data.reference: f"data{number}" for number, data in enumerate(lineage.data)}
    names |= {reference: f"hidden{i}" for i, reference in enumerate(lineage.hidden)}
    names |= {reference: f"unknown{i}" for i, reference in enumerate(lineage.unknown)}
    arrow = "-- evaluated on -->" if run is not None and run.imported else "-->"
    yield f"run {arrow} {names[lineage.trained_on]}"
    for reference in lineage.hidden:
        yield _node(names[reference], reference, "you may not see it")
    for reference in lineage.unknown:
        yield _node(names[reference], reference, "not in the registry")
    for data in lineage.data:
        yield from _data(data, names)


def _inputs_of(run: RunLineage) -> Iterator[str]:
    """Yield code, parameters and environment of a run, or where its model was imported from."""
    if run.imported:
        checksum = f"sha256 {run.imported['sha256'][:12]}"
        known = run.imported.get("trained_on")
        there = [f"trained there on {known}"] if known else []
        yield _node("origin", f"imported from {run.imported['source']}", checksum, *there)
        yield "run --> origin"
    changed = [f"uncommitted changes {run.code['diff'][:12]}"] if "diff" in run.code else []
    yield _node("code", f"code {run.code_version}", run.trainer, *changed)
    yield "run --> code"
    yield _node("parameters", "parameters", *_pairs({**run.parameters, "seed": run.seed}))
    yield "run --> parameters"
    if run.environment is not None:
        yield _node("environment", "environment", run.environment[:12])
        yield "run --> environment"


def _data(data: DataLineage, names: Mapping[str, str]) -> Iterator[str]:
    """Yield a data version, what it was made from, and its files by split."""
    name = names[data.reference]
    made = [] if data.function is None else [f"made by {data.function}", f"code {data.code}"]
    landed = [] if data.landing is None else [data.landing]
    tags = [f"tag {tag}" for tag in data.tags]
    yield _node(name, data.reference, *tags, f"digest {data.digest[:12]}", *made, *landed)
    for given in data.inputs:
        yield f"{name} --> {names[given]}"
    total = f"{len(data.files)} file(s), {sum(file.size for file in data.files):,} bytes"
    counts = [
        f"{split}: {count.samples} samples of {count.files} file(s)"
        for split, count in data.splits.items()
    ]
    yield _node(f"{name}files", total, *counts)
    yield f"{name} --> {name}files"


def _node(name: str, *lines: str) -> str:
    return f'{name}["{"<br/>".join(map(_text, lines))}"]'


def _text(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", printable(" ".join(text.split())))


def _pairs(values: Mapping[str, object]) -> Sequence[str]:
    shown = [f"{name} {_value(value)}" for name, value in list(values.items())[:MAX_SHOWN]]
    more = len(values) - MAX_SHOWN
    return [*shown, f"and {more} more"] if more > 0 else shown


def _value(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"


def _checksums(files: Mapping[str, str]) -> list[str]:
    return [f"{name} {sha256[:12]}" for name, sha256 in sorted(files.items())]
