"""Comparisons of runs, and the reports made of them.

Nothing is left out, and nothing in them is taken for markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import IntegrityError, SpecificationError, StorageError
from mlops_assets.paths import Owner, object_key
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.store import now
from mlops_assets.runs.comparison import Comparison, compare_runs, smaller_is_better
from mlops_assets.runs.reports import write_report
from mlops_assets.runs.reports.formatting import (
    delta,
    duration,
    energy,
    number,
    plain,
    quantity,
    size,
)
from mlops_assets.store import Store
from mlops_assets.text.markup import code
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

pytestmark = pytest.mark.usefixtures("drawn")

IMAGE = f"registry.example/code@sha256:{'4' * 64}"
CROPS = ["fallow", "maize", "wheat"]

HOSTILE = (
    "<script>alert(1)</script>|`x` @everyone ![](http://example.org/x.png) $\\bad{$ \n| \N{SNOWMAN}"
)


def record(
    store: Store, run_id: str, environment: dict[str, str] | None = None, **changes: Any
) -> Run:
    """A finished run, its environment and its series."""
    row: dict[str, Any] = {
        "run_id": run_id,
        "model": "crops",
        "dataset": "fields",
        "data_version": "v1",
        "data_digest": "d" * 64,
        "status": "running",
        "parameters": {},
        "seed": 0,
        "trainer": "m:train",
        "code_version": "c0ffee",
        "hardware": {},
        "metrics": {},
        "started": datetime(2026, 3, 1, tzinfo=UTC),
        "host": "h",
        "pid": 1,
    }
    if environment is not None:
        document = {"python": environment.get("python", "3.11"), "packages": environment}
        row["environment"] = store.workspace.put_object(json_bytes(document)).sha256
    store.registry.start_run(Run(**row | changes))
    return store.registry.run(run_id)


def publish(store: Store, run: Run, classes: list[str], counts: list[list[int]]) -> None:
    """Make a run's model version with a confusion matrix."""
    row = ModelVersion(
        model=run.model,
        version=f"v1-{run.run_id[:8]}",
        run_id=run.run_id,
        dataset="fields",
        data_version="v1",
        data_digest="d",
        task="classification",
        framework="f",
        signature={},
        stage="evaluated",
        metrics={},
        created=now(),
    )
    document = {"per_class": [{"class": name} for name in classes], "confusion_matrix": counts}
    file = store.workspace.put(
        f"models/{row.model}/{row.version}/metrics.json", json_bytes(document)
    )
    store.registry.publish_model_version(row, [file])


@pytest.fixture
def pair(store: Store) -> list[Run]:
    """Two runs that differ in everything, with series and confusion matrices."""
    first = record(
        store,
        "first-run",
        {"numpy": "2.0", "torch": "2.9", "same": "1"},
        code={"commit": "c0ffee"},
        code_version="a",
        parameters={"learning_rate": 0.1, "net": {"depth": 2, "kind": "cnn"}, "epochs": 5},
        metrics={"macro_f1": 0.5, "loss": 0.75, "rows": 10},
        seconds=10.0,
        usage={"peak_memory_bytes": 2**30},
        hardware={"cpus": 2, "gpus": []},
    )
    second = record(
        store,
        "second-run",
        {"numpy": "2.1", "jax": "0.8", "same": "1"},
        code={"diff": "e" * 64, "container": IMAGE},
        code_version="b",
        parameters={"learning_rate": 0.1, "net": {"depth": 3, "kind": "cnn"}, "dropout": True},
        data_version="v2",
        metrics={"macro_f1": 0.625, "loss": 0.25, "rows": 12},
        seconds=90.0,
        seed=3,
        hardware={"cpus": 4, "gpus": []},
        tags={"season": "2026"},
        usage={"peak_memory_bytes": 2**29, "energy_joules": 7200.0},
    )
    for run, offset in ((first, 0.0), (second, 0.1)):
        store.registry.log(
            run.run_id, [(step, "loss", step, 1 / (step + 1) + offset, 0.0) for step in range(20)]
        )
        publish(store, run, ["wheat", "maize"], [[5, 1], [2, 7]])
    return [store.registry.run(run.run_id) for run in (first, second)]


def of(comparison: Comparison, section: str) -> dict[str, tuple[Any, ...]]:
    return {difference.what: difference.values for difference in comparison.of(section)}


def test_everything_that_differs_is_found_and_nothing_else(store: Store, pair: list[Run]) -> None:
    comparison = compare_runs(store, pair)
    assert of(comparison, "data") == {"data version": ("v1", "v2")}
    assert of(comparison, "code") == {
        "version": ("a", "b"),
        "uncommitted changes": (None, "e" * 12),
        "container": (None, IMAGE),
    }
    assert of(comparison, "parameters") == {
        "seed": (0, 3),
        "net.depth": (2, 3),
        "epochs": (5, None),
        "dropout": (None, True),
    }
    assert of(comparison, "environment") == {
        "numpy": ("2.0", "2.1"),
        "torch": ("2.9", None),
        "jax": (None, "0.8"),
    }
    assert of(comparison, "hardware") == {"cpus": (2, 4)}
    assert of(comparison, "run") == {"tags.season": (None, "2026")}
    assert of(comparison, "took").keys() == {"seconds", "peak_memory_bytes", "energy_joules"}
    assert comparison.same_parameters == {"learning_rate": 0.1, "net.kind": "cnn"}
    rows = {row.name: row for row in comparison.metrics}
    assert rows["macro_f1"].deltas == (0.0, 0.125)
    assert [rows[name].best for name in ("macro_f1", "loss", "rows")] == [1, 1, None]
    assert [compared.confusion.classes for compared in comparison.runs if compared.confusion] == [
        ["wheat", "maize"]
    ] * 2
    assert json.loads(json.dumps(comparison.document()))["metrics"][0]["best"] == "second-run"


def test_equal_runs_do_not_differ_though_true_is_not_one(store: Store) -> None:
    runs = [record(store, name, {"a": "1"}, parameters={"x": 1}) for name in ("a", "b")]
    assert compare_runs(store, runs).differences == ()
    other = record(store, "c", {"a": "1"}, parameters={"x": True})
    assert of(compare_runs(store, [runs[0], other]), "parameters") == {"x": (1, True)}


def test_metrics_of_different_data_are_not_compared(store: Store, tmp_path: Path) -> None:
    runs = [
        record(
            store, f"run-{name}", metrics={"macro_f1": value}, data_version=name, data_digest=name
        )
        for name, value in (("v1", 0.5), ("v2", 0.625))
    ]
    comparison = compare_runs(store, runs)
    (row,) = comparison.metrics
    assert (row.best, row.deltas) == (None, (0.0, None))
    assert "fields@v1, fields@v2" in comparison.different_data
    assert "mlops train crops@v2" in comparison.different_data
    # the newest version is suggested, in whatever order the runs are named
    assert "mlops train crops@v2" in compare_runs(store, runs[::-1]).different_data
    for suffix in (".html", ".md"):
        report = tmp_path / f"report{suffix}"
        write_report(comparison, report)
        assert "measured on different samples" in report.read_text()
        assert "+0.125" not in report.read_text()


def test_runs_of_older_releases_and_failed_ones_are_compared_as_far_as_they_go(
    store: Store,
) -> None:
    old = record(store, "old")
    young = record(
        store, "young", {"numpy": "2.1"}, status="failed", error="Traceback\n  x\nValueError: boom"
    )
    comparison = compare_runs(store, [old, young])
    assert of(comparison, "environment") == {"recorded": (False, True)}
    assert of(comparison, "run") == {
        "status": ("running", "failed"),
        "error": (None, "Traceback\n  x\nValueError: boom"),
    }
    assert (comparison.metrics, comparison.runs[0].confusion) == ((), None)
    file = store.workspace.put(
        "models/crops/v1-x/environment.json", json_bytes({"python": "3.11", "packages": {}})
    )
    store.registry.add_files(Owner("model:crops@v1-x"), [file])
    old.model_version = "v1-x"  # where the environment lay before runs had it
    assert of(compare_runs(store, [old, young]), "environment").keys() == {"numpy"}


def test_a_changed_record_of_an_environment_is_not_believed(store: Store, pair: list[Run]) -> None:
    assert pair[0].environment
    store.workspace.put(object_key(pair[0].environment), b'{"python": "4"}')
    with pytest.raises(IntegrityError, match="environment of run first-ru"):
        compare_runs(store, pair)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("rmse", True),
        ("val_loss", True),
        ("ece", True),
        ("macro_f1", False),
        ("recall.wheat", False),
        ("r2", False),
        ("train_accuracy", False),
        ("bias", None),
        ("rows", None),
        ("validation/loss", True),
    ],
)
def test_it_is_known_which_metrics_are_better_when_smaller(
    metric: str, expected: bool | None
) -> None:
    assert smaller_is_better(metric) is expected


class Page(HTMLParser):
    """A browser's reading of a page: its tags, and the resources they fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += f" {data} "


@pytest.fixture
def hostile(store: Store, pair: list[Run]) -> Comparison:
    """Runs that were given names and values to break a report with."""
    bad = record(
        store,
        "hostile",
        {"numpy": HOSTILE},
        parameters={HOSTILE: HOSTILE, "list": [HOSTILE]},
        tags={HOSTILE: HOSTILE},
        metrics={HOSTILE: 0.5, "macro_f1": 0.25, "_hidden": 1},
        error=HOSTILE,
        trainer=HOSTILE,
        data_version=HOSTILE,
    )
    names = [HOSTILE, "_hidden"]
    points = [
        (2 * step + index, name, step, 0.5, 0.0)
        for step in range(3)
        for index, name in enumerate(names)
    ]
    store.registry.log("hostile", points)
    publish(store, bad, [HOSTILE, "_x"], [[1, 0], [0, 1]])
    return compare_runs(store, [*pair, store.registry.run("hostile")])


def test_the_page_holds_everything_itself_and_takes_nothing_for_markup(
    hostile: Comparison, tmp_path: Path
) -> None:
    (written,) = write_report(hostile, tmp_path / "out.html")
    text = written.read_text()
    page = Page(text)
    assert "script" not in page.tags
    assert page.tags.count("img") == 2
    assert all(source.startswith("data:image/png;base64,") for source in page.fetched)
    assert "url(" not in text and "@import" not in text
    assert "<script>alert(1)</script>" in page.text
    assert {"learning_rate", "net.depth", "torch", "macro_f1"} <= set(
        re.findall(r"[\w.]+", page.text)
    )
    assert "▲ +0.125" in page.text


def test_the_markdown_has_whole_tables_and_its_figures_beside_it(
    hostile: Comparison, tmp_path: Path
) -> None:
    written = write_report(hostile, tmp_path / "my report.md")
    assert [path.name for path in written] == [
        "my report.md",
        "my report-curves.png",
        "my report-confusion.png",
    ]
    text = written[0].read_text()
    assert "![Learning curves](my%20report-curves.png)" in text
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)  # what is not code
    for sign in ("<", "@everyone", "http"):
        assert sign not in outside
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for row in rows:
        cells = len(re.findall(r"(?<!\\)\|", row)) - 1
        assert cells in (4, 5), row
    assert "| `macro_f1` | 0.5 | **0.625** ▲ +0.125 | 0.25 ▼ -0.25 |" in text
    assert len(text) < 20_000


def test_the_picture_shows_all_of_it(
    hostile: Comparison, pair: list[Run], store: Store, tmp_path: Path
) -> None:
    (written,) = write_report(hostile, tmp_path / "out.png")
    picture = Image.open(BytesIO(written.read_bytes()))
    assert picture.width > 900 and picture.height > 800
    assert np.asarray(picture.convert("L")).std() > 5
    bare = compare_runs(store, [record(store, "x"), record(store, "y")])
    assert [path.suffix for path in write_report(bare, tmp_path / "bare.png")] == [".png"]
    assert [path.name for path in write_report(bare, tmp_path / "bare.md")] == ["bare.md"]


def test_many_runs_and_many_differences_still_fit(store: Store, tmp_path: Path) -> None:
    runs = [
        record(
            store,
            f"run-{number}",
            {},
            parameters={f"p{key}": number for key in range(100)},
            metrics={f"m{key}": key + number for key in range(40)},
        )
        for number in range(12)
    ]
    for run in runs:
        points = [
            (15 * step + key, f"m{key}", step, 1.0, 0.0) for step in range(2) for key in range(15)
        ]
        store.registry.log(run.run_id, points)
    comparison = compare_runs(store, runs)
    written = write_report(comparison, tmp_path / "many.md")
    assert "… and 70 more" in written[0].read_text()
    assert len(write_report(comparison, tmp_path / "many.png")) == 1


def test_a_report_that_cannot_be_written_is_refused(store: Store, tmp_path: Path) -> None:
    comparison = compare_runs(store, [record(store, "a"), record(store, "b")])
    with pytest.raises(SpecificationError, match=r"one of \.html, \.md, \.png"):
        write_report(comparison, tmp_path / "out.pdf")
    with pytest.raises(StorageError, match="cannot be written: No such file"):
        write_report(comparison, tmp_path / "nowhere" / "out.html")


def test_real_runs_are_compared(
    store: Store, land_table: Callable[..., Any], tmp_path: Path
) -> None:
    land_table()
    rows = [lifecycle(store, model_specification(), depth=depth) for depth in (1, 3)]
    comparison = compare_runs(store, [store.registry.run(row.run_id) for row in rows])
    assert of(comparison, "parameters") == {"depth": (1, 3)}
    assert {"data", "environment"}.isdisjoint(
        {difference.section for difference in comparison.differences}
    )
    assert all(
        each.confusion and sorted(each.confusion.classes) == CROPS for each in comparison.runs
    )
    rows_of = {row.name: row for row in comparison.metrics}
    assert (rows_of["accuracy"].best, rows_of["train_accuracy"].best) == (1, 1)
    assert [path.name for path in write_report(comparison, tmp_path / "out.md")] == [
        "out.md",
        "out-confusion.png",
    ]


def test_values_are_written_as_people_read_them() -> None:
    assert [number(value) for value in (3, 3.0, 1e-5, 0.123456, 123456.0, 0.0)] == [
        "3",
        "3",
        "1e-05",
        "0.1235",
        "123456",
        "0",
    ]
    assert [size(value) for value in (10, 2**20, 1.5 * 2**30)] == ["10 B", "1 MiB", "1.5 GiB"]
    assert [duration(value) for value in (0.25, 59.4, 125, 3 * 3600 + 720)] == [
        "0.25 s",
        "59.4 s",
        "2 min 5 s",
        "3 h 12 min",
    ]
    assert [energy(value) for value in (10.0, 7200.0)] == ["10 J", "2 Wh"]
    assert [delta(value) for value in (0.0, 0.5, -0.25)] == ["=", "▲ +0.5", "▼ -0.25"]
    assert [plain(value) for value in (None, True, [1, "ß"], "a\n b")] == [
        "–",
        "true",
        '[1, "ß"]',
        "a b",
    ]
    assert len(plain("x" * 200)) == 80
    assert [
        quantity("gpu_utilization", 0.5),
        quantity("error", "a\nb\n"),
        quantity("cpu_seconds", 2),
    ] == ["50%", "b", "2 s"]
    assert [code("a|b"), code("`x`"), code(" ")] == ["`a\\|b`", "`` `x` ``", "` `"]
    assert duration(timedelta(hours=1).total_seconds()) == "1 h 0 min"
