"""A model version measured on the test split: the ONNX file, as it was published."""

from __future__ import annotations

import numpy as np

from mlops_assets.datasets.documents import json_bytes
from mlops_assets.registry import ModelVersion
from mlops_assets.training.evaluation import Evaluation, evaluate
from mlops_assets.training.onnx_model import OnnxModel, decide
from mlops_assets.training.signature import raw_data
from mlops_assets.training.specification import ModelSpecification
from mlops_assets.training.store import Store, model_folder, published_path


def evaluate_version(store: Store, specification: ModelSpecification, row: ModelVersion) -> tuple[Evaluation, bytes]:
    """Measure the ONNX model on the test split and publish metrics, figure and model card.

    Returns:
        The evaluation, and its figure as PNG.

    Raises:
        StorageError: the model version has no ONNX file yet.
    """
    from mlops_assets.training import figures
    from mlops_assets.training.card import model_card

    data = raw_data(store.workspace, store.registry, row)
    folder = model_folder(row)
    model = OnnxModel(published_path(store, f"{folder}/model.onnx"))
    parts = [(y, decide(model.predict(X))) for X, y in data.batches("test")]
    truth, predicted = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    evaluation = evaluate(truth, predicted, row.task, data.class_names)
    title = f"{row.model}@{row.version}"
    if evaluation.confusion is None:
        name, figure = "scatter", figures.scatter(truth, predicted, title)
    else:
        name, figure = "confusion_matrix", figures.confusion_matrix(evaluation.confusion, data.class_names, title)
    document = {
        "split": "test",
        "samples": len(truth),
        "data_version": data.reference,
        "metrics": evaluation.metrics,
        "per_class": evaluation.per_class.to_dict(orient="records"),
        "confusion_matrix": None if evaluation.confusion is None else evaluation.confusion.tolist(),
    }
    card = model_card(specification, row, store.registry.run(row.run_id), data.frozen, evaluation)
    files = [
        store.workspace.put(f"{folder}/metrics.json", json_bytes(document)),
        store.workspace.put(f"{folder}/figures/{name}.png", figure),
        store.workspace.put(f"{folder}/model-card.md", card.encode()),
    ]
    store.registry.advance(row, "evaluated", files, evaluation.metrics)
    return evaluation, figure
