"""A model version measured on the test split: the ONNX file, as it was published."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.loading.training_data import BATCH_BYTES, TrainingData
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import EvaluationError, SpecificationError
from mlops_assets.models.evaluation.bootstrap import CONFIDENCE, REPLICATES
from mlops_assets.models.evaluation.calibration import Scores
from mlops_assets.models.evaluation.latency import measure_latency
from mlops_assets.models.evaluation.slices import independent_units, place_of, place_text, slices
from mlops_assets.models.evaluation.tally import NOTHING, ClassTally, Evaluation, measure_numbers
from mlops_assets.models.onnx.graph import kind_of_scores
from mlops_assets.models.onnx.session import OnnxModel, Outputs, decide
from mlops_assets.models.signature import raw_data
from mlops_assets.models.specification import ModelSpecification, class_metric
from mlops_assets.paths import model_folder
from mlops_assets.progress import step
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.registry.model_documents import Latency, samples_at_once
from mlops_assets.store import Store
from mlops_assets.text.json_values import Json, JsonObject


def evaluate_version(
    store: Store, specification: ModelSpecification, row: ModelVersion
) -> tuple[Evaluation, bytes]:
    """Measure the ONNX model on the test split and publish metrics, figures and model card.

    Args:
        store: workspace and registry.
        specification: the model as declared.
        row: the exported model version.

    Returns:
        The evaluation, and its main figure as PNG.

    Raises:
        StorageError: the model version has no ONNX file yet.
        SpecificationError: a gate is on a class that the data does not have.
        EvaluationError: the test split has no labelled sample, or the model returns something that
            is not a prediction.
    """
    from mlops_assets.models.evaluation.card_page import card_page
    from mlops_assets.models.evaluation.model_card import model_card

    started = time.monotonic()
    data = raw_data(store.workspace, store.registry, row)
    named = _class_metrics_of_gates(specification, data)
    folder = model_folder(row.model, row.version)
    title = f"{row.model}@{row.version}"
    evaluation = measure_version(store, row, data)
    evaluation = replace(evaluation, metrics=evaluation.metrics | _per_class(evaluation, named))
    drawn = _figures(evaluation, data.class_names, title)
    document = {
        "split": "test",
        "samples": len(data.committed.split("test")),
        "data_version": data.reference,
        **_document(evaluation),
    }
    card = model_card(store, specification, row, data.committed, evaluation, list(drawn))
    contents: dict[str, bytes | Path] = {
        f"{folder}/metrics.json": json_bytes(document),
        f"{folder}/latency.json": json_bytes(_latency(store, row, data).model_dump(mode="json")),
        **{f"{folder}/figures/{name}.png": png for name, png in drawn.items()},
        f"{folder}/model-card.md": card.encode(),
        f"{folder}/model-card.html": card_page(card, drawn).encode(),
    }
    with publication(store.workspace, store.registry) as publishing:
        publishing.put_all(contents)
        store.registry.advance(
            row, "evaluated", publishing.files, evaluation.metrics, time.monotonic() - started
        )
    return evaluation, next(iter(drawn.values()))


def measure_version(store: Store, row: ModelVersion, data: TrainingData) -> Evaluation:
    """Measure the published ONNX file of a model version on the test split; nothing is published.

    Args:
        store: workspace and registry.
        row: the exported model version.
        data: a data version, raw, with the bands and classes of the model.

    Raises:
        StorageError: the model version has no ONNX file yet.
        IntegrityError: its ONNX file is not as it was published.
        EvaluationError: the test split has no labelled sample, or the model returns something that
            is not a prediction.
    """
    import onnx

    key = f"{model_folder(row.model, row.version)}/model.onnx"
    path = published_path(store.workspace, store.registry, key)
    try:
        return measure(OnnxModel(path), data, kind_of_scores(onnx.load(path), row.framework))
    except EvaluationError as error:
        raise EvaluationError(
            f"{row.model}@{row.version} cannot be measured on the test split of"
            f" {data.reference}: {error}"
        ) from error


def _latency(store: Store, row: ModelVersion, data: TrainingData) -> Latency:
    """Time the published ONNX file on samples of the test split."""
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    X, _ = next(data.batches("test", samples_at_once(data.sample_shape)))
    return measure_latency(OnnxModel(published_path(store.workspace, store.registry, key)), X)


def _figures(evaluation: Evaluation, class_names: list[str], title: str) -> dict[str, bytes]:
    """Return name → PNG of the figures of an evaluation, the main one first."""
    from mlops_assets.models.evaluation import figures

    drawn = {}
    if evaluation.numbers is not None:
        truth, predicted = evaluation.numbers
        drawn["scatter"] = figures.scatter(truth, predicted, title)
    if evaluation.confusion is not None:
        drawn["confusion_matrix"] = figures.confusion_matrix(
            evaluation.confusion, class_names, title
        )
    if evaluation.calibration is not None:
        drawn["reliability"] = figures.reliability(evaluation.calibration, title)
    return drawn


def measure(model: OnnxModel, data: TrainingData, scores: Scores | None = None) -> Evaluation:
    """Run a model over the test split and measure it, batch by batch.

    Args:
        model: the ONNX model, which takes raw samples.
        data: the data version, unscaled.
        scores: whether its scores are probabilities or logits; calibration is measured only if
            that is known.

    Returns:
        The measurements.

    Raises:
        EvaluationError: there is no labelled sample, or an output is neither a number nor a class;
            the message names the sample.
    """
    units = independent_units(data.committed, "test")
    parts = slices(data.committed, "test")
    classes = len(data.class_names)
    tally = ClassTally(data.class_names, units, parts, scores)
    truths: list[NDArray[np.float64]] = []
    values: list[NDArray[np.float64]] = []
    start = 0
    pixels = int(np.prod(data.sample_shape[1:])) if data.view == "window" else 1
    # scores of a window are as large as the window
    widest = max(int(np.prod(data.sample_shape)), classes * pixels)
    with step("evaluating on the test split", len(data.committed.split("test")), "samples") as done:
        for X, y in data.batches("test", max(1, BATCH_BYTES // (4 * widest))):
            outputs = model.predict(X)
            predicted = decide(outputs)
            positions = np.arange(start, start + len(X))
            require_usable(outputs, predicted, y, classes, data, positions)
            if data.task == "regression":
                truths.append(y.astype(np.float64))
                values.append(predicted.astype(np.float64))
            else:
                tally.add(start, y.astype(np.int64), predicted, outputs.get("scores"))
            start += len(X)
            done.advance(len(X))
    if data.task != "regression":
        return tally.result()
    if not truths:
        raise EvaluationError(NOTHING)
    return measure_numbers(np.concatenate(truths), np.concatenate(values), units, parts)


def require_usable(
    outputs: Outputs,
    predicted: NDArray[np.number],
    truth: NDArray[np.int64 | np.float64],
    classes: int,
    data: TrainingData,
    positions: NDArray[np.int64],
) -> None:
    """Check that outputs are predictions wherever the truth is known.

    Elsewhere, as on nodata, they do not count.

    Args:
        outputs: of the model.
        predicted: the decisions they stand for.
        truth: the labels.
        classes: number of the model's classes.
        data: what the samples are of.
        positions: of each sample in the test split.

    Raises:
        EvaluationError: they are not; the message names the first of them.
    """
    if predicted.shape != truth.shape:
        raise EvaluationError(
            f"it gives predictions of shape {predicted.shape} for labels of shape {truth.shape}"
        )
    given = predicted
    wrong = ~np.isfinite(predicted)
    reason = "not a finite number"
    if data.task != "regression":
        if "scores" in outputs:
            given = np.moveaxis(outputs["scores"], 1, -1)
            if given.shape[-1] != classes:
                raise EvaluationError(
                    f"it gives {given.shape[-1]} scores a sample, and there are {classes} classes"
                )
            wrong |= ~np.isfinite(given).all(axis=-1)
        if not (wrong & (truth >= 0)).any():
            given = predicted
            wrong = (predicted < 0) | (predicted >= classes)
            reason = f"not a class index from 0 to {classes - 1}"
        wrong &= truth >= 0
    if not wrong.any():
        return
    first = tuple(np.argwhere(wrong)[0].tolist())
    place = place_of(data.committed, "test", int(positions[first[0]]))
    if len(first) > 1:
        place["row"] += first[1]
        place["column"] += first[2]
    raise EvaluationError(
        f"it gives {_short(given[first])} for {place_text(place)}, which is {reason}, and so for"
        f" {int(wrong.sum())} label(s) of the {len(truth)} samples from there on; check the values"
        " there, and train again"
    )


def _short(value: object) -> str:
    return np.array2string(np.asarray(value), precision=4, threshold=8, edgeitems=3)


def _class_metrics_of_gates(specification: ModelSpecification, data: TrainingData) -> list[str]:
    """Return the metrics of single classes that gates ask for.

    Raises:
        SpecificationError: there is no such class.
    """
    named = [gate.metric for gate in specification.gates if class_metric(gate.metric)]
    for metric in named:
        _, name = class_metric(metric) or ("", "")
        if name not in data.class_names:
            raise SpecificationError(
                f"gate on {metric!r}: {data.reference} has no class {name!r}; it has"
                f" {', '.join(data.class_names)}"
            )
    return named


def _per_class(evaluation: Evaluation, named: list[str]) -> dict[str, float]:
    """Return these metrics of single classes; one without test samples was not measured."""
    found = {}
    for metric in named:
        measured, name = class_metric(metric) or ("", "")
        row = evaluation.per_class[evaluation.per_class["class"] == name].iloc[0]
        if row["samples"]:
            found[metric] = float(row[measured])
    return found


def _document(evaluation: Evaluation) -> JsonObject:
    return {
        "metrics": {**evaluation.metrics},
        "intervals": {
            "confidence": CONFIDENCE,
            "resampled": evaluation.unit,
            "units": evaluation.units,
            "replicates": REPLICATES,
            "metrics": {name: list(ends) for name, ends in evaluation.intervals.items()},
        },
        "per_class": _records(evaluation.per_class),
        "confusion_matrix": None if evaluation.confusion is None else evaluation.confusion.tolist(),
        "calibration": (
            None if evaluation.calibration is None else evaluation.calibration.document()
        ),
        "slices": {name: _records(table) for name, table in evaluation.slices.items()},
    }


def _records(table: pd.DataFrame) -> list[Json]:
    """Return rows as JSON values; what could not be measured is null."""
    rows = table.astype(object).where(table.notna(), None).to_dict(orient="records")
    return [{str(name): value for name, value in row.items()} for row in rows]
