"""Every classifier and regressor of scikit-learn.

Exported to ONNX and equal, or refused before it is trained.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.utils import all_estimators

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import ExportError, TrainerError
from mlops_assets.models.export.parity import compare_outputs
from mlops_assets.models.frameworks.scikit_learn import ScikitLearn
from mlops_assets.models.native import save_native
from mlops_assets.models.onnx.graph import kind_of_scores
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.specification import Parity
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets.training.trainers import load_trainer
from mlops_assets_tests.conftest import table_specification
from mlops_assets_tests.training.example_trainers import unlogged_run

DOCUMENT = Path(__file__).parents[3] / "docs/frameworks.md"
LABELS = {"two classes": 2, "three classes": 3, "numbers": 0}
EXPORTED = "exported"


def table(classes: int) -> pd.DataFrame:
    """600 rows of small numbers, none negative, as some estimators take no others."""
    rng = np.random.default_rng(0)
    values = rng.normal(1.5, 0.8, (600, 6)).clip(0, 2.9).round(4)
    target = values[:, 0] + 0.5 * values[:, 1] + rng.normal(0, 0.2, 600)
    if classes == 0:
        label = (target + 1).round(4)
    else:
        edges = np.quantile(target, np.arange(1, classes) / classes)
        label = np.array(list("abc"))[np.digitize(target, edges)]
    return pd.DataFrame({f"f{i}": values[:, i] for i in range(6)} | {"crop": label})


@pytest.fixture
def data(store: Store, land_table: Callable[..., Commit]) -> dict[str, TrainingData]:
    """The tables as data versions, under the names of LABELS."""
    found = {}
    for number, (name, classes) in enumerate(LABELS.items()):
        land_table(table(classes), table_specification(f"table{number}"))
        committed = CommittedDataset.open(
            store.workspace, store.registry, Reference(f"table{number}")
        )
        found[name] = TrainingData(committed, "classification" if classes else "regression")
    return found


def outcome(estimator: type, data: TrainingData, store: Store, folder: Path) -> str:
    """Train with default parameters and export; return EXPORTED, or why it is refused, in short."""
    trainer = load_trainer("mlops_assets.training.trainers.sklearn:train")
    params = trainer.parameters({"estimator": f"{estimator.__module__}.{estimator.__name__}"})
    try:
        model: Any = trainer.function(data, params, unlogged_run(store, folder, 0))
    except (TrainerError, ExportError) as error:
        own = (f"{estimator.__module__}.{estimator.__name__}", estimator.__name__)
        reason = re.split(
            r" \(|; this was",
            str(error).replace("ValueError: ", "").replace(data.reference, "this table"),
        )[0]
        for name in own:
            reason = reason.replace(name, "it")
        return "refused: " + reason.replace("; choose another estimator", "").rstrip(".")
    adapter, path = ScikitLearn(), folder / "model.onnx"
    save_native(
        store.workspace, adapter, model, data, f"models/{estimator.__name__}/{data.reference}"
    )
    adapter.export(model, data.sample_shape, data.task, path)
    X, _ = data.arrays("test")
    native = adapter.predict(model, X, data.task)
    report = compare_outputs(native, OnnxModel(path), X, data.task, Parity())
    assert report.passed, f"{estimator.__name__}: {report.description}"
    outputs = adapter.predict(model, X, data.task)
    kind = kind_of_scores(onnx.load(path), adapter.name)
    assert kind == ("probabilities" if "scores" in outputs else None), estimator.__name__
    if "scores" in outputs:
        np.testing.assert_allclose(
            outputs["scores"].sum(axis=1), 1, atol=1e-6, err_msg=estimator.__name__
        )
    return EXPORTED


@pytest.mark.slow
def test_every_estimator_is_exported_and_equal_or_refused_before_training(
    data: dict[str, TrainingData], store: Store, tmp_path: Path
) -> None:
    outcomes: dict[str, list[str]] = {}
    for kind, labels in (
        ("classifier", ["two classes", "three classes"]),
        ("regressor", ["numbers"]),
    ):
        for name, estimator in all_estimators(type_filter=kind):
            found = {}
            for label in labels:
                with warnings.catch_warnings(), tempfile.TemporaryDirectory(dir=tmp_path) as folder:
                    warnings.simplefilter("ignore")  # some do not converge on so few rows
                    found[label] = outcome(estimator, data[label], store, Path(folder))
            alike = len(set(found.values())) == 1
            text = (
                found[labels[0]]
                if alike
                else "; ".join(f"{label}: {what}" for label, what in found.items())
            )
            outcomes.setdefault(text, []).append(name)
    lines = [
        f"| {', '.join(f'`{name}`' for name in names)} | {text} |"
        for text, names in outcomes.items()
    ]
    table = "\n".join(["| estimator | with its default parameters |", "|---|---|", *lines])
    assert table in DOCUMENT.read_text(), (
        f"{DOCUMENT.name} has another table; this is what was found:\n{table}"
    )
