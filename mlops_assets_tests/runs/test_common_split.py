"""Runs on different data versions, compared on the test split of one of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import EvaluationError, IntegrityError, NotFound
from mlops_assets.models.signing.sign import sign_version
from mlops_assets.names import Reference
from mlops_assets.paths import object_key
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.runs.common_split import Overlap
from mlops_assets.runs.comparison import Comparison, compare_runs
from mlops_assets.runs.reports import write_report
from mlops_assets.store import Store
from mlops_assets.training.train import train
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.conftest import crops_table, scenes_specification, table_specification
from mlops_assets_tests.models.signing.keys import make_key, trust
from mlops_assets_tests.training.example_trainers import (
    HERE,
    lifecycle,
    model_specification,
    training_request,
    windows_source,
)

Land = Callable[..., Commit]
V2 = Reference("fields", "v2")


def other_seed(specification: Any) -> Any:
    return specification.model_copy(
        update={"split": specification.split.model_copy(update={"seed": 1})}
    )


@pytest.fixture
def versions(store: Store, land_table: Land) -> list[ModelVersion]:
    """The same tree on a table, and on the table grown and divided by another seed."""
    table = crops_table(500)
    land_table(table.head(300))
    first = lifecycle(store, model_specification(), "v1", depth=2)
    land_table(table, other_seed(table_specification()))
    return [first, lifecycle(store, model_specification(), "v2", depth=3)]


def compared(store: Store, rows: list[ModelVersion], on: Reference | None = V2) -> Comparison:
    return compare_runs(store, [store.registry.run(row.run_id) for row in rows], on)


def test_a_model_without_the_signature_that_is_required_is_not_measured(
    store: Store, versions: list[ModelVersion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(tmp_path, "release")
    trust(monkeypatch, tmp_path, {"name": "release", "file": "release.pub"})
    sign_version(store, versions[1], key)
    comparison = compared(store, versions)
    assert comparison.on is not None
    unsigned, signed = comparison.on.measured
    assert unsigned.evaluation is None and "has no signature" in unsigned.reason
    assert signed.evaluation is not None


def test_models_are_measured_on_one_split_and_what_they_were_trained_on_is_counted(
    store: Store, versions: list[ModelVersion]
) -> None:
    def content() -> dict[str, str]:
        files = (path for path in store.workspace.root.rglob("*") if path.is_file())
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if not path.is_relative_to(store.workspace.cache) and "registry.db-" not in path.name
        }

    before = content()
    comparison = compared(store, versions)
    assert content() == before

    assert comparison.on is not None
    first, second = comparison.on.measured
    assert first.evaluation is not None and second.evaluation is not None
    # what its own evaluation has measured
    assert second.evaluation.metrics == versions[1].metrics
    tested = CommittedDataset.open(store.workspace, store.registry, V2).split("test")
    assert first.evaluation.confusion is not None
    assert first.evaluation.confusion.sum() == len(tested) == comparison.on.samples
    frames = {}
    for version in ("v1", "v2"):
        committed = CommittedDataset.open(
            store.workspace, store.registry, Reference("fields", version)
        )
        table = pd.read_csv(committed.local_path("samples.csv"), dtype=str)
        frames[version] = table.assign(split=committed.samples["split"].to_numpy())
    columns = [name for name in frames["v1"] if name != "split"]
    pairs = frames["v1"].merge(frames["v2"], on=columns, suffixes=("_old", "_new"))
    used = pairs.loc[pairs["split_new"] == "test", "split_old"].value_counts()
    assert first.overlap == Overlap(int(used["train"]), int(used["validation"]))
    assert used["train"] > 10 and second.overlap == Overlap()

    (accuracy,) = [row for row in comparison.metrics if row.name == "accuracy"]
    low, high = accuracy.intervals[0] or (1, 0)
    assert low <= first.evaluation.metrics["accuracy"] <= high
    assert accuracy.deltas[1] is not None
    # the first has seen the answers
    assert accuracy.best is None
    assert "train_accuracy" not in {row.name for row in comparison.metrics}


def test_without_leakage_the_best_is_named(store: Store, versions: list[ModelVersion]) -> None:
    shallow = lifecycle(store, model_specification(), "v2", depth=1)
    comparison = compared(store, [shallow, versions[1]])
    assert {row.name: row.best for row in comparison.metrics}["accuracy"] == 1
    assert comparison.notices[1:] == []


def test_windows_are_counted_by_their_place_also_in_a_scene_of_another_name(
    store: Store, land_scenes: Land
) -> None:
    specification = scenes_specification(**windows_source())
    cover = model_specification(
        "cover", dataset="scenes", task="semantic-segmentation", trainer=f"{HERE}:network"
    )
    land_scenes(specification)
    first = lifecycle(store, cover, "v1", steps=1)
    landing = store.workspace.root / "landing" / "scenes"
    for kind in ("images", "labels"):
        (landing / kind / "a.tif").rename(landing / kind / "b.tif")
    land_scenes(other_seed(specification), name="c", seed=3)
    second = lifecycle(store, cover, "v2", steps=1)
    comparison = compared(store, [first, second], Reference("scenes"))
    assert comparison.on is not None and comparison.on.reference == "scenes@v2"
    old, new = (
        CommittedDataset.open(store.workspace, store.registry, Reference("scenes", version))
        for version in ("v1", "v2")
    )
    trained = set(old.split("train")[["row", "column"]].itertuples(index=False, name=None))
    tested = new.split("test")
    tested = tested[tested["path"] == "images/b.tif"]
    both = trained & set(tested[["row", "column"]].itertuples(index=False, name=None))
    assert comparison.on.measured[0].overlap.train == len(both) > 0


def test_runs_that_cannot_be_measured_are_named_with_the_reason(
    store: Store, versions: list[ModelVersion], land_table: Land, land_scenes: Land
) -> None:
    failed = store.registry.run(versions[0].run_id)
    store.registry.start_run(
        Run(
            **{
                column.name: getattr(failed, column.name)
                for column in Run.__table__.columns
                if column.name not in ("run_id", "model_version")
            },
            run_id="f" * 32,
        )
    )
    trained = train(store, training_request(model_specification(), "v2", {}, 0))
    land_scenes()
    pixels = lifecycle(store, model_specification("cover", dataset="scenes"))
    frame = crops_table(300)
    renamed = lifecycle_of(store, land_table, "renamed", frame.rename(columns={"ndvi_01": "ndvi"}))
    frame["crop"] = frame["crop"].replace("fallow", "barley")
    barley = lifecycle_of(store, land_table, "barley", frame)
    runs = [
        versions[1].run_id,
        *("f" * 32, trained.run_id, pixels.run_id, renamed.run_id, barley.run_id),
    ]
    comparison = compare_runs(store, [store.registry.run(run) for run in runs], V2)
    reasons = dict(line.split(" is not measured: ") for line in comparison.notices[1:])
    assert list(reasons) == [run[:8] for run in runs[1:]]
    for reason, expected in zip(
        reasons.values(),
        (
            "no model version (status succeeded)",
            "was not exported",
            "is read as row, not as patch",
            "fields@v2 has no ndvi",
            "predicts the classes barley, maize, wheat, in this order; fields@v2 has fallow, maize",
        ),
        strict=True,
    ):
        assert expected in reason
    assert [each.measured_on for each in comparison.runs] == ["fields@v2", *[""] * 5]
    with pytest.raises(EvaluationError, match=r"no model .* on fields@v2: ffffffff: it has no"):
        compare_runs(store, [store.registry.run(run) for run in runs[1:3]], V2)
    with pytest.raises(NotFound, match="v9"):
        compared(store, versions, Reference("fields", "v9"))


def lifecycle_of(store: Store, land: Land, name: str, frame: pd.DataFrame) -> ModelVersion:
    """A tree on a dataset of its own."""
    land(frame, table_specification(name))
    return lifecycle(store, model_specification(f"crops_of_{name}", dataset=name))


def test_a_size_and_a_scaling_that_do_not_fit_are_named(store: Store, land_scenes: Land) -> None:
    rows = []
    for name, options in (
        ("small", {"size": 3}),
        ("large", {"size": 5}),
        ("physical", {"size": 3, "apply_scale": True}),
    ):
        source = {"url": f"landing/{name}", "layout": "scenes", "scenes": options}
        split = {"method": "spatial_block", "block": 8, "fractions": {"train": 0.6, "test": 0.4}}
        land_scenes(scenes_specification(name, source=source, split=split))
        rows.append(lifecycle(store, model_specification(f"on_{name}", dataset=name)))
    notices = compared(store, rows, Reference("small", "v1")).notices
    assert "samples of 4 x 5 x 5, those of small@v1 are of 4 x 3 x 3" in notices[1]
    assert "takes physical values, small@v1 has stored ones" in notices[2]


def test_a_changed_file_is_not_measured_on(store: Store, versions: list[ModelVersion]) -> None:
    committed = CommittedDataset.open(store.workspace, store.registry, V2)
    sha256 = committed.manifest["sha256"].iloc[0]
    before = store.workspace.get(object_key(sha256))
    for cached in (store.workspace.cache, store.workspace.root):
        for path in cached.rglob("*"):
            if path.is_file() and path.stat().st_size == len(before):
                path.chmod(0o644)
                path.write_bytes(before.replace(b"wheat", b"maize"))
    with pytest.raises(IntegrityError, match="is not as it was published"):
        compared(store, versions)


@pytest.mark.usefixtures("drawn")
def test_every_output_says_on_which_version_the_numbers_are(
    store: Store, versions: list[ModelVersion], mlops: Mlops, tmp_path: Path
) -> None:
    ids = [row.run_id[:8] for row in versions]
    plain = mlops("run", "compare", *ids)
    command = f"mlops run compare {ids[0]} {ids[1]} --on fields@v2"
    assert command in " ".join(plain.out.split())
    assert [
        line.split() for line in plain.out.splitlines() if line.startswith("test split of")
    ] == [["test", "split", "of", "fields@v1", "fields@v2"]]
    outcome = mlops(*command.split()[1:], "--report", str(tmp_path / "out.html"))
    assert outcome.code == 0, outcome.err
    samples = store.registry.data_version(V2).counts["test"]
    written = " ".join(outcome.out.split())
    assert f"measured on the {samples} test samples of fields@v2, for this" in written
    assert f"{ids[0]} was trained on " in written
    comparison = compared(store, versions)
    for suffix in (".md", ".png"):
        write_report(comparison, tmp_path / f"out{suffix}")
    page, text = ((tmp_path / f"out{suffix}").read_text() for suffix in (".html", ".md"))
    accuracy = comparison.metrics[0]
    low, high = (f"{end:.4g}" for end in accuracy.intervals[0] or (0, 0))
    for report in (page, text):
        assert f"measured on the {samples} test samples of fields@v2" in report
        assert f"[{low}, {high}]" in report
    assert "<th>test split of</th>\n<td>fields@v2</td><td>fields@v2</td>" in page
    assert "| test split of | `fields@v2` | `fields@v2` |" in text
    found: dict[str, Any] = mlops(*command.split()[1:], "--json").json
    assert found["test_split"]["data_version"] == "fields@v2"
    assert [run["measured_on"] for run in found["runs"]] == ["fields@v2"] * 2
    assert found["runs"][0]["test_samples_trained_on"] > 0
    assert json.loads(json.dumps(found["metrics"][0]["intervals"]))[versions[0].run_id]


def test_the_picture_has_a_line_for_each_notice(
    store: Store, versions: list[ModelVersion], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from matplotlib.figure import SubFigure

    texts: list[str] = []
    write = SubFigure.text

    def noted(figure: SubFigure, x: float, y: float, text: str, **options: Any) -> Any:
        texts.append(text)
        return write(figure, x, y, text, **options)

    monkeypatch.setattr(SubFigure, "text", noted)
    comparison = compared(store, versions)
    write_report(comparison, tmp_path / "out.png")
    assert " ".join(texts[0].split()) == " ".join(comparison.notices)
