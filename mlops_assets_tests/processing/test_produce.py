"""Data made from data: the version, what it records, and functions that misbehave."""

from __future__ import annotations

import _thread
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydantic import ValidationError

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.recall.verify import verify
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import Forbidden, MlopsError, NotFound
from mlops_assets.names import Reference
from mlops_assets.principals import Principal, Role
from mlops_assets.processing.produce import ProcessingJob, produce
from mlops_assets.processing.specification import ProcessedDatasetSpecification
from mlops_assets.store import Store
from mlops_assets.training.provenance import source_digest
from mlops_assets_tests.conftest import crops_table, scenes_specification, table_specification
from mlops_assets_tests.datasets.readers.landed_catalogues import item, write_catalog
from mlops_assets_tests.datasets.readers.landing import UTM, write_raster
from mlops_assets_tests.processing import functions
from mlops_assets_tests.processing.functions import HERE


def processed(name: str = "thinned", /, **changes: object) -> ProcessedDatasetSpecification:
    """Every other row of the table `fields`; `changes` replace attributes."""
    attributes: dict[str, object] = {
        "name": name,
        "source": {"layout": "table", "table": {"label": "crop"}},
        "split": {"fractions": {"train": 0.6, "validation": 0.1, "test": 0.3}},
        "inputs": ["fields"],
        "function": f"{HERE}:thin",
    }
    return ProcessedDatasetSpecification.model_validate(attributes | changes)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, the test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_version_is_made_of_an_input_version_and_records_how(
    store: Store, land_table: Callable[..., Commit], scratch: Path
) -> None:
    land_table()
    first = produce(store, ProcessingJob(processed()))
    assert (first.created, first.version.version, first.version.samples) == (True, "v1", 150)
    row = store.registry.data_version(Reference("fields"))
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("thinned"))
    made = committed.document.processing
    assert made is not None
    assert [(i.reference, i.digest) for i in made.inputs] == [("fields@v1", row.digest)]
    assert (made.function, made.parameters) == (f"{HERE}:thin", {"every": 2})
    assert b"thinning samples.csv" in store.workspace.get("datasets/thinned/v1/log.txt")
    assert verify(store.workspace, store.registry, Reference("thinned")).documents == 7
    assert made.source == source_digest(Path(functions.__file__).parent)
    assert "kept one row in 2" in committed.document.notes
    assert committed.manifest["path"].tolist() == ["fields_samples.csv"]
    assert list(scratch.iterdir()) == []
    # the same again is the same version
    again = produce(store, ProcessingJob(processed()))
    assert (again.created, again.version.version) == (False, "v1")


def test_other_inputs_code_or_parameters_are_another_version_of_equal_files(
    store: Store, land_table: Callable[..., Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    land_table()
    produce(store, ProcessingJob(processed()))
    # another version of an input that is pinned: nothing new; that it is the newest: another
    table = crops_table()
    land_table(table.assign(surveyed=1.0))
    unchanged = produce(store, ProcessingJob(processed(), input_version="v1"))
    assert unchanged.version.version == "v1"
    assert produce(store, ProcessingJob(processed())).version.version == "v2"
    job = ProcessingJob(processed(), input_version="v1", parameters={"every": 3})
    assert produce(store, job).version.version == "v3"
    monkeypatch.setattr(
        "mlops_assets.processing.produce.provenance.source_digest", lambda folder: "f" * 64
    )
    changed = produce(store, ProcessingJob(processed(), input_version="v1"))
    assert changed.version.version == "v4"
    manifests = [
        CommittedDataset.open(store.workspace, store.registry, Reference("thinned", version))
        for version in ("v1", "v4")
    ]
    assert manifests[0].manifest["sha256"].tolist() == manifests[1].manifest["sha256"].tolist()


def test_several_inputs_are_taken_at_their_newest_or_a_named_version(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    for rows in (50, 60):
        land_table(crops_table(rows), table_specification("extra"))
    store.registry.tag("extra", "v1", "survey")
    for declared, expected in (("extra", "extra@v2"), ("extra@survey", "extra@v1")):
        produce(store, ProcessingJob(processed(inputs=["fields", declared])))
        made = CommittedDataset.open(store.workspace, store.registry, Reference("thinned"))
        assert made.document.processing is not None
        references = [given.reference for given in made.document.processing.inputs]
        assert references == ["fields@v1", expected]


def test_features_of_samples_keep_their_split(
    store: Store, land_scenes: Callable[..., Commit]
) -> None:
    land_scenes()
    given = CommittedDataset.open(store.workspace, store.registry, Reference("scenes"))
    features = processed(
        "features",
        inputs=["scenes"],
        function=f"{HERE}:count",
        source={"layout": "table", "table": {"label": "kind", "split": "split"}},
        split={"method": "column"},
    )
    row = produce(store, ProcessingJob(features)).version
    assert row.counts == {**given.row.counts, "validation": 0}
    made = CommittedDataset.open(store.workspace, store.registry, Reference("features"))
    assert made.classes == [
        {"value": "land", "name": "land"},
        {"value": "water", "name": "water"},
    ]
    assert f"{given.row.samples} samples of 2 files, on cpu" in made.document.notes


def test_a_catalogue_that_a_function_writes_is_read_as_one_that_lands(
    store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "landing"
    image = np.arange(288, dtype=np.uint8).reshape(2, 12, 12)
    write_raster(folder / "a/image.tif", image, **UTM)
    write_raster(folder / "a/labels.tif", np.ones((12, 12), dtype=np.uint8), **UTM)
    assets = {"image": "./image.tif", "labels": "./labels.tif"}
    write_catalog(folder, [("a/item.json", item("a", assets, 0))])
    attributes = {"classes": {1: "water"}, "split": {"fractions": {"train": 0.5, "test": 0.5}}}
    source = {"url": str(folder), "layout": "stac"}
    landed = scenes_specification("scenes", source=source, **attributes)
    row = commit(store.workspace, store.registry, landed).version
    declared = processed(
        inputs=["scenes"], function=f"{HERE}:copy", source={"layout": "stac"}, **attributes
    )
    first = produce(store, ProcessingJob(declared))
    assert (first.version.samples, first.version.counts) == (row.samples, row.counts)
    assert produce(store, ProcessingJob(declared)).created is False
    with pytest.raises(ValidationError, match="use 'assets: copy'"):
        processed(source={"layout": "stac", "stac": {"assets": "reference"}})


def test_a_version_whose_files_have_landed_is_stored_as_before(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    row = land_table().version
    document = json.loads(store.workspace.get(f"datasets/fields/{row.version}/version.json"))
    assert "processing" not in document


@pytest.mark.parametrize(
    ("does", "compute", "message"),
    [
        ("raise", {}, "ValueError: these fields are fallow ("),
        ("exit", {}, "SystemExit: no fields today"),
        ("nothing", {}, "wrote no file that layout 'table' reads to its output folder"),
        ("hide", {}, "wrote no file that layout 'table' reads to its output folder"),
        ("link out", {}, "table.csv: links out of the landing"),
        ("stray", {}, "wrote table.csv beside its output folder"),
        ("scribble", {}, "crop"),
        ("leak", {"memory": "900Mi"}, "of memory, compute.memory is 900Mi"),
        ("overwrite", {}, "wrote no file that layout 'table' reads to its output folder"),
        ("die", {}, "was killed by SIGKILL; most likely the machine is out of memory"),
        ("hang", {"time_limit": 1}, "exceeded compute.time_limit, 1 seconds"),
        ("linger", {"time_limit": 1}, "exceeded compute.time_limit, 1 seconds"),
        ("interrupt", {}, "KeyboardInterrupt: the farmer"),
        ("mumble", {}, "Mumbled: <exception str() failed>"),
        ("ramble", {}, "ValueError: blah blah"),
    ],
)
def test_a_function_that_misbehaves_is_one_error_and_nothing_is_committed(
    does: str,
    compute: dict[str, object],
    message: str,
    store: Store,
    land_table: Callable[..., Commit],
    scratch: Path,
) -> None:
    land_table()
    declared = processed(function=f"{HERE}:behave", params={"does": does}, compute=compute)
    with pytest.raises(MlopsError) as caught:
        produce(store, ProcessingJob(declared))
    text = str(caught.value)
    assert message in text
    assert f"{HERE}:behave" in text
    assert len(text) < 20_000
    assert str(scratch) not in text
    if does == "raise":
        assert f"{functions.__file__}:" in text
    assert store.registry.data_versions("thinned") == []
    assert verify(store.workspace, store.registry, Reference("fields")).passed
    assert list(scratch.iterdir()) == []


def test_a_process_that_a_function_leaves_behind_is_killed_before_the_commit(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    declared = processed(function=f"{HERE}:behave", params={"does": "bear"})
    (note,) = (n for n in produce(store, ProcessingJob(declared)).notes if n.startswith("child"))
    child, rest = note.removeprefix("child ").split(", ")
    assert not psutil.pid_exists(int(child))
    # and its note is one that can be stored and read
    assert rest.startswith(r"\udcff nnn")
    assert len(note) == 1001


def test_stopping_the_step_stops_the_function_and_leaves_nothing(
    store: Store, land_table: Callable[..., Commit], scratch: Path
) -> None:
    land_table()
    pids: list[int] = []

    def stop() -> None:
        while not (begun := list(scratch.glob("*/scratch/begun"))):
            time.sleep(0.1)
        pids.append(int(begun[0].read_text()))
        _thread.interrupt_main()

    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        produce(store, ProcessingJob(processed(function=f"{HERE}:behave", params={"does": "hang"})))
    thread.join()
    assert not psutil.pid_exists(pids[0])
    assert list(scratch.iterdir()) == []
    assert store.registry.data_versions("thinned") == []


def test_who_may_not_publish_data_versions_starts_nothing(
    store: Store, land_table: Callable[..., Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    land_table()
    monkeypatch.setattr("mlops_assets.processing.produce.run_worker", None)
    viewer = Principal("viewer", frozenset({Role.VIEWER}))
    with pytest.raises(Forbidden):
        produce(Store(store.workspace, store.registry.acting(viewer)), ProcessingJob(processed()))


def test_parameters_and_versions_that_do_not_exist_are_refused_before_anything_runs(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    with pytest.raises(MlopsError, match=r"parameters of .*:behave are refused: does"):
        produce(store, ProcessingJob(processed(function=f"{HERE}:behave")))
    with pytest.raises(NotFound, match="fields@v9 is not known"):
        produce(store, ProcessingJob(processed(), input_version="v9"))
