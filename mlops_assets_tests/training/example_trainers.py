"""Trainers, networks and declarations that the tests train with; all are tiny."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor, nn

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.models.evaluation.evaluate import evaluate_version
from mlops_assets.models.export.export import export
from mlops_assets.models.record import record_version
from mlops_assets.models.run_documents import read_points, run_columns
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.paths import run_document_key, run_points_key
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.store import Store
from mlops_assets.training.checkpoints import Checkpoints
from mlops_assets.training.request import TrainingRequest
from mlops_assets.training.run import TrainingRun
from mlops_assets.training.train import train

HERE = __name__
POINTS = 11_000  # two series of these are more than one batch of `TrainingRun`


class PatchNet(nn.Module):
    """Convolves over a patch; keeps its arguments, has a buffer."""

    scale: Tensor

    def __init__(self, bands: int, classes: int, size: int = 3) -> None:
        super().__init__()
        self.bands, self.classes, self.size = bands, classes, size
        self.register_buffer("scale", torch.full((bands,), 250.0))
        self.body = nn.Sequential(
            nn.Conv2d(bands, 4, size), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()
        )
        self.head = nn.Linear(4, classes)

    def forward(self, patches: Tensor) -> Tensor:
        scores: Tensor = self.head(self.body(patches / self.scale[None, :, None, None]))
        return scores


class WindowNet(nn.Module):
    """Scores every pixel of a window."""

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.bands, self.classes = bands, classes
        self.body = nn.Sequential(
            nn.Conv2d(bands, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, classes, 1)
        )

    def forward(self, windows: Tensor) -> Tensor:
        scores: Tensor = self.body(windows / 250.0)
        return scores


class Depth(BaseModel):
    """Parameters of `tree`."""

    model_config = ConfigDict(extra="forbid")

    depth: int = Field(default=4, ge=1)


def tree(data: TrainingData, params: Depth, run: TrainingRun) -> DecisionTreeClassifier:
    """A decision tree on flattened samples."""
    X, y = data.arrays("train")
    model = DecisionTreeClassifier(max_depth=params.depth, random_state=run.seed).fit(
        X.reshape(len(X), -1), y
    )
    run.log({"train_accuracy": float(model.score(X.reshape(len(X), -1), y))}, step=0)
    return model


class Steps(BaseModel):
    """Parameters of `network`."""

    steps: int = 5


def network(data: TrainingData, params: Steps, run: TrainingRun) -> nn.Module:
    """A convolutional net: on patches a class each, on windows a class a pixel."""
    X, y = data.arrays("train")
    net = (PatchNet if data.view == "patch" else WindowNet)(X.shape[1], len(data.class_names))
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    for step in range(params.steps):
        loss = nn.functional.cross_entropy(
            net(torch.from_numpy(X)), torch.from_numpy(y), ignore_index=-1
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"loss": float(loss.detach())}, step=step)
    return net


def patient(data: TrainingData, params: Steps, run: TrainingRun) -> DecisionTreeClassifier:
    """Draws numbers step by step, and keeps a checkpoint at every other step."""
    saved = run.restore()
    drawn = 0.0 if saved is None else saved.state["drawn"]
    for step in range(0 if saved is None else saved.step + 1, params.steps):
        drawn += float(np.random.random())
        run.log({"drawn": drawn}, step=step)
        if step % 2 == 1:
            run.checkpoint({"drawn": drawn}, step)
    return tree(data, Depth(), run)


class Behaviour(BaseModel):
    """Parameters of `moody`."""

    does: Literal[
        "work", "raise", "return nothing", "return a dictionary", "log NaN", "interrupt"
    ] = "work"


def moody(data: TrainingData, params: Behaviour, run: TrainingRun) -> Any:
    """Works, or fails in one of the ways trainers fail."""
    run.log({"loss": 1.0}, step=0)
    if params.does == "raise":
        raise RuntimeError("out of luck")
    if params.does == "log NaN":
        run.log({"loss": float("nan")}, step=1)
    if params.does == "interrupt":
        raise KeyboardInterrupt
    model = tree(data, Depth(), run)
    return {"work": model, "return nothing": None, "return a dictionary": {"model": model}}[
        params.does
    ]


def talkative(data: TrainingData, params: Depth, run: TrainingRun) -> DecisionTreeClassifier:
    """Logs more points than are written at once."""
    for step in range(POINTS):
        run.log({"loss": 1 / (step + 1), "accuracy": step / POINTS}, step=step)
    return tree(data, params, run)


def missing_run(data: TrainingData, params: Depth) -> None:
    """Not the signature of a trainer."""


def untyped(data: TrainingData, params, run: TrainingRun) -> None:  # type: ignore[no-untyped-def]
    """Parameters without a type."""


def dictionary_params(data: TrainingData, params: dict[str, Any], run: TrainingRun) -> None:
    """Parameters of a type that is no model."""


def unresolved_params(
    data: TrainingData,
    params: Nowhere,  # type: ignore[name-defined]  # noqa: F821
    run: TrainingRun,
) -> None:
    """Parameters of a type that does not exist."""


def model_specification(name: str = "crops", /, **changes: object) -> ModelSpecification:
    """A tree on the dataset `fields`; `changes` replace attributes."""
    attributes = {
        "name": name,
        "dataset": "fields",
        "task": "classification",
        "trainer": f"{HERE}:tree",
    }
    return ModelSpecification.model_validate(attributes | changes)


def training_request(
    specification: ModelSpecification,
    data_version: str = "v1",
    parameters: Mapping[str, object] | None = None,
    seed: int = 0,
    **fields: Any,
) -> TrainingRequest:
    """A request to train on a data version; `fields` are further ones of the request."""
    return TrainingRequest(
        specification=specification,
        data_version=data_version,
        parameters=dict(parameters or {}),
        seed=seed,
        **fields,
    )


def windows_source(name: str = "scenes", size: int = 8) -> dict[str, object]:
    """Changes to `scenes_specification` for windows without a buffer."""
    return {
        "source": {
            "url": f"landing/{name}",
            "layout": "scenes",
            "scenes": {"read": "windows", "size": size},
        },
        "split": {"method": "spatial_block", "block": 8, "fractions": {"train": 0.6, "test": 0.4}},
    }


def unlogged_run(store: Store, directory: Path, seed: int) -> TrainingRun:
    """A run whose points are not stored."""
    checkpoints = Checkpoints(store.workspace, store.registry, "a-run", directory, resumed=False)
    return TrainingRun("a-run", seed, directory, None, checkpoints)


def lifecycle(
    store: Store,
    specification: ModelSpecification,
    data_version: str = "v1",
    recorded: bool = False,
    **params: Any,
) -> ModelVersion:
    """Train, export and evaluate, optionally record; return the row as the registry then has it."""
    row = train(store, training_request(specification, data_version, params, specification.seed))
    export(store, specification, row)
    evaluate_version(store, specification, row)
    reference = Reference(row.model, row.version)
    if recorded:
        record_version(store, specification, row)
    return store.registry.model_version(reference)


def require_documents(store: Store, run_id: str) -> None:
    """A run that has ended has published all that is recorded of it.

    Stages after its training add to it.
    """
    run, points = store.registry.run(run_id), store.registry.points(run_id)
    expected: dict[str, Any] = run_columns(run)
    document = json.loads(read_published(store.workspace, store.registry, run_document_key(run_id)))
    assert expected["status"] != "running"
    for added in ("metrics", "phases"):
        assert expected.pop(added).items() >= document[added].items()
    assert document.items() >= expected.items()
    if points:
        assert (
            read_points(read_published(store.workspace, store.registry, run_points_key(run_id)))
            == points
        )
    else:
        assert store.registry.files_at(run_points_key(run_id)) == []


def samples(
    shape: tuple[int, ...], count: int = 60, classes: int = 3, seed: int = 0
) -> tuple[Any, Any]:
    """Samples of separable classes.

    X float32 of (count, *shape), y int64 of (count,).
    """
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    X = rng.normal(0, 0.4, (count, *shape)) + y.reshape(-1, *(1 for _ in shape))
    return X.astype(np.float32), y
