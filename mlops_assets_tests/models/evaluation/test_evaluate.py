"""A model version measured on its test split.

What is published, in bounded memory, and what stops it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import EvaluationError, GateFailure, SpecificationError
from mlops_assets.models.evaluation import evaluate as measuring
from mlops_assets.models.evaluation.evaluate import evaluate_version, measure
from mlops_assets.models.evaluation.tally import evaluate
from mlops_assets.models.export.export import export
from mlops_assets.models.gates.check import check_gates
from mlops_assets.models.gates.outcomes import gates_description
from mlops_assets.models.onnx.session import OnnxModel, decide
from mlops_assets.models.promotion import promote
from mlops_assets.models.signature import raw_data
from mlops_assets.models.specification import Gate, ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder, model_item_key
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.runs.comparison import compare_runs
from mlops_assets.runs.reports import write_report
from mlops_assets.store import Store
from mlops_assets.training.train import train
from mlops_assets_tests.conftest import crops_table, scenes_specification, table_specification
from mlops_assets_tests.training.example_trainers import (
    HERE,
    lifecycle,
    model_specification,
    training_request,
    windows_source,
)

Land = Callable[..., Commit]
Outputs = dict[str, NDArray[Any]]


def exported(store: Store, specification: ModelSpecification, **params: Any) -> ModelVersion:
    row = train(store, training_request(specification, "v1", params, specification.seed))
    export(store, specification, row)
    return row


def document_of(store: Store, row: ModelVersion) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        store.workspace.get(f"{model_folder(row.model, row.version)}/metrics.json")
    )
    return found


def predictions(store: Store, row: ModelVersion) -> tuple[NDArray[Any], NDArray[Any], TrainingData]:
    """Truth and prediction of the whole test split at once."""
    data = raw_data(store.workspace, store.registry, row)
    X, y = data.arrays("test")
    return (
        y,
        decide(
            OnnxModel(
                published_path(
                    store.workspace,
                    store.registry,
                    f"{model_folder(row.model, row.version)}/model.onnx",
                )
            ).predict(X)
        ),
        data,
    )


def fields(group: str | None = "farm") -> Any:
    table = {"label": "crop", **({"group": group} if group else {})}
    return table_specification(source={"url": "landing/fields", "layout": "table", "table": table})


WINDOWS = model_specification(
    "cover", dataset="scenes", task="semantic-segmentation", trainer=f"{HERE}:network"
)


def test_what_is_measured_is_published(store: Store, land_table: Land) -> None:
    frame = crops_table(600).assign(farm=np.arange(600) % 10)
    wrong = frame["farm"] == 7
    frame.loc[wrong, "crop"] = frame.loc[wrong, "crop"].map(
        {"wheat": "maize", "maize": "fallow", "fallow": "wheat"}
    )
    land_table(frame, fields())
    row = lifecycle(store, model_specification(), depth=2)
    document = document_of(store, row)
    truth, predicted, data = predictions(store, row)
    whole = evaluate(truth, predicted, "classification", data.class_names)
    assert document["metrics"] == row.metrics
    assert {name: row.metrics[name] for name in whole.metrics} == pytest.approx(whole.metrics)
    assert (document["split"], document["samples"]) == ("test", len(truth))
    assert whole.confusion is not None and document["confusion_matrix"] == whole.confusion.tolist()
    intervals = document["intervals"]
    assert (intervals["resampled"], intervals["units"]) == ("groups (farm)", 10)
    assert intervals["metrics"].keys() == row.metrics.keys()
    for name, (low, high) in intervals["metrics"].items():
        assert low < high and (name == "ece" or low <= row.metrics[name] <= high)
    assert document["calibration"]["scores"] == "probabilities"
    assert sum(document["calibration"]["count"]) == len(truth)
    farms = document["slices"]["farm"]
    assert farms[0]["value"] == "7" and len(farms) == len({entry["value"] for entry in farms})
    groups = data.committed.split("test")["group"].to_numpy()
    for entry in farms:
        inside = groups == entry["value"]
        assert entry["samples"] == inside.sum() >= 10
        own = evaluate(truth[inside], predicted[inside], "classification", data.class_names)
        assert {name: entry[name] for name in own.metrics} == pytest.approx(own.metrics)


def split_by_column(test: set[str]) -> tuple[pd.DataFrame, DatasetSpecification]:
    """A table that names the split of each row: every fifth of these classes is tested."""
    table = crops_table()
    tested = table["crop"].isin(test) & (table.index % 5 == 0)
    table["part"] = np.where(tested, "test", "train")
    columns = {"label": "crop", "split": "part", "exclude": ["farm"]}
    source = {"url": "landing/fields", "layout": "table", "table": columns}
    return table, table_specification(source=source, split={"method": "column"})


def test_a_class_without_a_test_sample_is_named_wherever_numbers_are(
    store: Store, land_table: Land, tmp_path: Path
) -> None:
    land_table(*split_by_column({"wheat", "maize"}))
    rows = [lifecycle(store, model_specification(), recorded=True, depth=depth) for depth in (2, 3)]
    card = store.workspace.get(
        f"{model_folder(rows[0].model, rows[0].version)}/model-card.md"
    ).decode()
    assert "Not measured, as the test split has no sample of it: fallow." in card
    item = json.loads(store.workspace.get(model_item_key(rows[0].model, rows[0].version)))
    assert item["properties"]["mlops:unmeasured_classes"] == ["fallow"]
    comparison = compare_runs(store, [store.registry.run(row.run_id) for row in rows])
    document: dict[str, Any] = comparison.document()
    assert [run["unmeasured_classes"] for run in document["runs"]] == [["fallow"]] * 2
    for name in ("report.html", "report.md", "report.png"):
        write_report(comparison, tmp_path / name)
    assert "Not in the test split: " in (tmp_path / "report.md").read_text()
    assert (
        "<th>not in the test split</th>\n<td>fallow</td><td>fallow</td>"
        in (tmp_path / "report.html").read_text()
    )


def test_kappa_of_one_class_is_not_measured_and_passes_no_gate(
    store: Store, land_table: Land
) -> None:
    land_table(*split_by_column({"wheat"}))
    row = lifecycle(store, model_specification())
    assert row.metrics["accuracy"] > 0.9 and "kappa" not in row.metrics
    gates = [Gate(metric="kappa", min=0.1), Gate(metric="kappa", not_worse_than="production")]
    outcomes = check_gates(store, row, gates)
    assert [outcome.passed for outcome in outcomes] == [False, False]
    assert gates_description(outcomes).count("FAILED, not measured") == 2


@pytest.mark.parametrize(("crs", "unit"), [("EPSG:32630", "m"), (None, "px")])
def test_the_card_names_what_the_model_takes_and_gives_lengths_their_unit(
    crs: str | None, unit: str, store: Store, land_scenes: Land
) -> None:
    split = {"method": "spatial_block", "block": 100 if crs else 10, "buffer": 20 if crs else 2}
    bands = {
        "names": ["blue", "green", "red", "nir"],
        "center_wavelengths": [0.49, 0.56, 0.66, 0.84],
    }
    land_scenes(scenes_specification(split=split, bands=bands), crs=crs)
    row = lifecycle(store, model_specification(dataset="scenes"))
    card = store.workspace.get(f"{model_folder(row.model, row.version)}/model-card.md").decode()
    assert f"blocks of {split['block']} {unit}, buffer {split['buffer']} {unit} |" in card
    assert "Bands, in this order: `blue` (0.49 µm), `green` (0.56 µm)," in card
    assert "Classes, in the order of its scores: `water`, `land`." in card


def test_the_card_has_intervals_and_the_worst_slices(store: Store, land_table: Land) -> None:
    land_table(crops_table(600).assign(farm=np.arange(600) % 12), fields())
    row = lifecycle(store, model_specification())
    card = store.workspace.get(f"{model_folder(row.model, row.version)}/model-card.md").decode()
    low, high = document_of(store, row)["intervals"]["metrics"]["accuracy"]
    assert f"| accuracy | {row.metrics['accuracy']:.4f} | {low:.4f} to {high:.4f} |" in card
    assert "1,000 draws with replacement from the 12 groups (farm) of the test split" in card
    worst = document_of(store, row)["slices"]["farm"][0]
    assert "| farm | test samples | accuracy | macro_f1 | mean_iou |" in card
    assert f"| {worst['value']} | {worst['samples']} | {worst['accuracy']:.4f} |" in card
    assert "The 10 worst of 12" in card
    assert f"{row.metrics['ece']:.1%} from how often it is right" in card
    for figure in ("confusion_matrix", "reliability"):
        assert f"](figures/{figure}.png)" in card
        assert store.workspace.exists(
            f"{model_folder(row.model, row.version)}/figures/{figure}.png"
        )


@pytest.mark.parametrize("task", ["classification", "semantic-segmentation", "regression"])
def test_batches_are_as_the_whole(
    store: Store, land_table: Land, land_scenes: Land, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    if task == "semantic-segmentation":
        land_scenes(scenes_specification(**windows_source()))
        row = exported(store, WINDOWS)
    elif task == "classification":
        land_table(crops_table(), fields())
        row = exported(store, model_specification(), depth=2)
    else:
        land_table(crops_table().assign(crop=np.arange(300.0)), fields())
        row = exported(
            store, model_specification(task="regression", trainer=SKLEARN), estimator=TREE
        )
    model = OnnxModel(
        published_path(
            store.workspace, store.registry, f"{model_folder(row.model, row.version)}/model.onnx"
        )
    )
    data = raw_data(store.workspace, store.registry, row)
    whole = measure(model, data)
    sizes: list[int] = []
    exact = OnnxModel.predict

    def counted(self: OnnxModel, X: NDArray[np.float32], batch: int = 1024) -> Outputs:
        sizes.append(len(X))
        return exact(self, X, batch)

    monkeypatch.setattr(OnnxModel, "predict", counted)
    widest = max(int(np.prod(data.sample_shape)), 2 * 64 if task == "semantic-segmentation" else 0)
    widest = max(widest, len(data.class_names))
    monkeypatch.setattr(measuring, "BATCH_BYTES", 4 * widest * 4)  # four samples
    parts = measure(model, data)
    assert set(sizes[:-1]) == {4}
    assert parts.metrics == pytest.approx(whole.metrics)
    assert parts.intervals.keys() == whole.intervals.keys()
    for name, ends in parts.intervals.items():
        assert ends == pytest.approx(whole.intervals[name])
    assert parts.slices.keys() == whole.slices.keys()
    if whole.confusion is not None:
        assert parts.confusion is not None and parts.confusion.tolist() == whole.confusion.tolist()
    truth, predicted, _ = predictions(store, row)
    at_once = evaluate(truth, predicted, task, data.class_names).metrics
    assert {name: parts.metrics[name] for name in at_once} == pytest.approx(at_once)


SKLEARN = "mlops_assets.training.trainers.sklearn:train"
TREE = "sklearn.tree.DecisionTreeRegressor"


def test_unlabelled_pixels_count_for_nothing(store: Store, land_scenes: Land) -> None:
    land_scenes(scenes_specification(**windows_source()))
    row = lifecycle(store, WINDOWS)
    document = document_of(store, row)
    truth, predicted, _ = predictions(store, row)
    known = truth >= 0
    assert not known.all()
    assert (
        np.sum(document["confusion_matrix"]) == known.sum() == sum(document["calibration"]["count"])
    )
    assert row.metrics["accuracy"] == pytest.approx((truth == predicted)[known].mean())
    assert document["calibration"]["scores"] == "logits"
    assert document["intervals"]["resampled"] == "blocks of 8 px"
    assert document["intervals"]["units"] == len(truth)


def test_numbers_are_measured_with_intervals_and_slices(store: Store, land_table: Land) -> None:
    rng = np.random.default_rng(0)
    frame = crops_table(600).assign(farm=np.arange(600) % 12)
    frame["crop"] = (
        1000
        + frame["ndvi_01"]
        + rng.normal(0, 0.1, 600)
        + (frame["farm"] == 5) * rng.normal(0, 9, 600)
    )
    land_table(frame, fields())
    row = lifecycle(
        store, model_specification(task="regression", trainer=SKLEARN), estimator=TREE, max_depth=3
    )
    document = document_of(store, row)
    assert (
        document["intervals"]["metrics"].keys()
        == row.metrics.keys()
        == {"rmse", "mae", "r2", "bias"}
    )
    for name, (low, high) in document["intervals"]["metrics"].items():
        assert low <= row.metrics[name] <= high
    truth, predicted, data = predictions(store, row)
    worst = document["slices"]["farm"][0]
    inside = data.committed.split("test")["group"].to_numpy() == "5"
    own = evaluate(truth[inside], predicted[inside], "regression", [])
    assert (worst["value"], worst["samples"]) == ("5", inside.sum())
    assert {name: worst[name] for name in own.metrics} == pytest.approx(own.metrics)
    assert (
        "figures/scatter.png"
        in store.workspace.get(f"{model_folder(row.model, row.version)}/model-card.md").decode()
    )


def test_few_groups_give_no_intervals_but_a_reason(store: Store, land_table: Land) -> None:
    land_table(crops_table(300).assign(farm=np.arange(300) % 3), fields())
    tree: dict[str, Any] = {
        "estimator": "sklearn.tree.DecisionTreeClassifier",
        "class_weight": {0: 1, 1: 5, 2: 1},
        "max_depth": None,
    }
    row = lifecycle(store, model_specification(trainer=SKLEARN), **tree)
    assert document_of(store, row)["intervals"]["metrics"] == {}
    card = store.workspace.get(f"{model_folder(row.model, row.version)}/model-card.md").decode()
    assert "No confidence intervals: the test split has 3 groups (farm), and 5 are needed" in card
    # with the keys that the trainer got
    assert "class_weight: `{0: 1, 1: 5, 2: 1}`" in card.replace("\\", "")


# gates on single classes


def test_a_gate_may_be_on_one_class(store: Store, land_table: Land) -> None:
    land_table()
    gates = [{"metric": "recall.wheat", "min": 0.2}, {"metric": "f1.maize", "min": 1.01}]
    specification = model_specification(gates=gates)
    row = lifecycle(store, specification, recorded=True)
    per_class = {entry["class"]: entry for entry in document_of(store, row)["per_class"]}
    assert row.metrics["recall.wheat"] == per_class["wheat"]["recall"]
    assert row.metrics["f1.maize"] == per_class["maize"]["f1"]
    assert {name for name in row.metrics if "." in name} == {"recall.wheat", "f1.maize"}
    with pytest.raises(
        GateFailure, match=r"recall\.wheat ≥ 0\.2: passed.*f1\.maize ≥ 1\.01: FAILED"
    ):
        promote(store, row, specification.gates)


def test_a_gate_on_a_class_that_is_not_there_is_refused(store: Store, land_table: Land) -> None:
    land_table()
    specification = model_specification(gates=[{"metric": "recall.weat", "min": 0.2}])
    row = exported(store, specification)
    with pytest.raises(
        SpecificationError, match=r"fields@v1 has no class 'weat'; it has fallow, maize, wheat"
    ):
        evaluate_version(store, specification, row)
    assert store.registry.model_version(Reference("crops")).stage == "exported"


@pytest.mark.parametrize("metric", ["recall.", "speed.wheat", "wheat", "recall"])
def test_a_metric_that_is_none_is_refused(metric: str) -> None:
    with pytest.raises(
        ValueError, match=r"is unknown; use one of accuracy, .* such as recall\.wheat"
    ):
        model_specification(gates=[{"metric": metric, "min": 0.2}])


def test_numbers_have_no_classes_to_gate() -> None:
    with pytest.raises(ValueError, match=r"task 'regression' has no metric 'recall\.wheat'"):
        model_specification(task="regression", gates=[{"metric": "recall.wheat", "min": 0.2}])


# what stops it


def spoil(monkeypatch: pytest.MonkeyPatch, change: Callable[[Outputs], Outputs]) -> None:
    exact = OnnxModel.predict
    monkeypatch.setattr(
        OnnxModel, "predict", lambda self, X, batch=1024: change(exact(self, X, batch))
    )


def spoiled(name: str, index: tuple[Any, ...], value: float) -> Callable[[Outputs], Outputs]:
    def change(outputs: Outputs) -> Outputs:
        values = outputs[name].copy()
        values[index] = value
        return outputs | {name: values}

    return change


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        (
            "label",
            (3,),
            3,
            (
                "it gives 3 for sample 3 (samples.csv, row {row}), which is not a class index from"
                " 0 to 2"
            ),
        ),
        (
            "label",
            (3,),
            -1,
            "it gives -1 for sample 3 (samples.csv, row {row}), which is not a class index",
        ),
        ("scores", (3, 1), np.nan, "nan"),
        (
            "scores",
            (3, 1),
            np.inf,
            "for sample 3 (samples.csv, row {row}), which is not a finite number",
        ),
    ],
)
def test_what_is_no_prediction_names_the_sample(
    store: Store,
    land_table: Land,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    index: Any,
    value: float,
    message: str,
) -> None:
    land_table()
    row = exported(store, model_specification())
    spoil(monkeypatch, spoiled(name, index, value))
    with pytest.raises(EvaluationError) as caught:
        evaluate_version(store, model_specification(), row)
    sample = (
        CommittedDataset.open(store.workspace, store.registry, Reference("fields"))
        .split("test")
        .iloc[3]
    )
    assert message.format(row=sample["row"]) in str(caught.value)
    assert f"crops@{row.version} cannot be measured on the test split of fields@v1" in str(
        caught.value
    )
    assert not store.workspace.exists(f"{model_folder(row.model, row.version)}/metrics.json")


def test_nan_in_a_pixel_counts_only_where_there_is_a_label(
    store: Store, land_scenes: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_scenes(scenes_specification(**windows_source()))
    row = exported(store, WINDOWS)
    truth, _, data = predictions(store, row)
    unknown, known = (
        tuple(int(i) for i in np.argwhere(mask)[0]) for mask in (truth < 0, truth >= 0)
    )
    before = measure(
        OnnxModel(
            published_path(
                store.workspace,
                store.registry,
                f"{model_folder(row.model, row.version)}/model.onnx",
            )
        ),
        data,
        "logits",
    )

    spoil(monkeypatch, spoiled("scores", (unknown[0], 0, *unknown[1:]), np.nan))
    assert evaluate_version(store, WINDOWS, row)[0].metrics == before.metrics

    spoil(monkeypatch, spoiled("scores", (known[0], 0, *known[1:]), np.nan))
    sample = data.committed.split("test").iloc[known[0]]
    place = f"row {sample['row'] + known[1]}, column {sample['column'] + known[2]}"
    with pytest.raises(
        EvaluationError,
        match=f"for sample {known[0]} .images/a.tif, {place}., which is not a finite",
    ):
        evaluate_version(store, WINDOWS, row)


def test_scores_of_other_classes_are_refused(
    store: Store, land_table: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_table()
    row = exported(store, model_specification())
    spoil(monkeypatch, lambda outputs: outputs | {"scores": outputs["scores"][:, :2]})
    with pytest.raises(
        EvaluationError, match="it gives 2 scores a sample, and there are 3 classes"
    ):
        evaluate_version(store, model_specification(), row)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_an_empty_test_split_is_an_error(
    store: Store, land_table: Land, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    if task == "classification":
        land_table()
        specification = model_specification()
        row = exported(store, specification)
    else:
        land_table(crops_table().assign(crop=np.arange(300.0)))
        specification = model_specification(task="regression", trainer=SKLEARN)
        row = exported(store, specification, estimator=TREE)

    def emptied(*args: Any) -> TrainingData:
        data = raw_data(*args)
        samples = data.committed.samples
        committed = replace(data.committed, samples=samples[samples["split"] != "test"])
        return TrainingData(committed, data.task)

    monkeypatch.setattr(measuring, "raw_data", emptied)
    with pytest.raises(
        EvaluationError, match="test split of fields@v1: it has no labelled sample; land more"
    ):
        evaluate_version(store, specification, row)
    assert store.registry.model_version(Reference("crops")).stage == "exported"


def test_a_published_document_is_valid_json(store: Store, land_table: Land) -> None:
    frame = crops_table(300).assign(farm=np.arange(300) % 6)
    frame["crop"] = np.where(frame["farm"] == 1, 2.0, np.arange(300.0))  # no spread there, so no r2
    land_table(frame, fields())
    row = lifecycle(store, model_specification(task="regression", trainer=SKLEARN), estimator=TREE)
    content = store.workspace.get(f"{model_folder(row.model, row.version)}/metrics.json").decode()
    assert "NaN" not in content
    assert (
        pd.DataFrame(json.loads(content)["slices"]["farm"])
        .set_index("value")["r2"]
        .isna()
        .to_dict()["1"]
    )
