"""A registry rebuilt from the workspace equals the lost one, or reports what is missing."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, select

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import Conflict, Forbidden, IntegrityError, NotFound, StorageError
from mlops_assets.integrations.external.origin import origin_of
from mlops_assets.integrations.external.recording import ExternalRunRequest, begin, end
from mlops_assets.models.promotion import promote, rollback
from mlops_assets.models.run_documents import end_run
from mlops_assets.models.verify import verify_all
from mlops_assets.names import Reference
from mlops_assets.paths import CATALOG_OWNER, log_entry_key
from mlops_assets.principals import Principal, Role, local
from mlops_assets.registry import Checkpoint, Registry
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.log.chain import canonical
from mlops_assets.registry.records.external import send_collection, send_items, withdraw_item
from mlops_assets.registry.runs import RunFacts
from mlops_assets.registry.schema import Base
from mlops_assets.registry.session import now
from mlops_assets.reindex.reindex import reindex
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.discovery.external import external_collection, external_item
from mlops_assets_tests.faults.life import LANDED, MODEL, STEPS, land, opened
from mlops_assets_tests.models.test_run_documents import POINTS
from mlops_assets_tests.registry.rows import deployment, failed_rule, new_run
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification
from mlops_assets_tests.training.sweeps.trainers import planned

CARL = local("carl")
UNLOGGED = {"landed_files", "meta", "stac_collections", "stac_items"}
LIFE = (
    "commit v1",
    "assess v1",
    "record v1",
    "train on v1",
    "export",
    "evaluate",
    "record the model",
    "promote",
    "predict",
    "evaluate again",
    "predict again",
)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which everything has happened once."""
    root = tmp_path_factory.mktemp("life") / "workspace"
    store = opened(root)
    for scene, seed in LANDED.values():
        land(root, scene, seed)
    for step in LIFE:
        STEPS[step](store)
    registry, specification = (
        store.registry,
        model_specification(MODEL, dataset="scenes", inputs="patch"),
    )
    registry.tag("scenes", "v1", "harvest-2026")
    send_collection(registry, external_collection(), replace=False)
    send_items(registry, "sent", [external_item(), external_item("two")], replace=False)
    withdraw_item(registry, "sent", "two")
    registry.set_webhooks({"team": ["model.promoted", "model.rolled_back"]})
    better = lifecycle(store, specification, recorded=True, depth=5)
    registry.decide(better, "approved", "measured", {"model.onnx": "c" * 64})
    promote(store, better, [])
    registry.record_deployment(deployment(better.version, model=MODEL))
    registry.raise_alarm(failed_rule(better.version, "2026-11-02", model=MODEL))
    rollback(store, MODEL)
    with planned({"quality": {"min": 0.2, "max": 0.8}}, trials=1, method="random").claimed(store):
        registry.start_run(new_run("trial", model=MODEL, tags={"sweep": "s", "trial": "0"}))
        end_run(store, "trial", "pruned", "others are better")
    registry.start_run(
        new_run("failed", model=MODEL, parameters={"rate": float("nan"), "net": {"0": 1.0}})
    )
    registry.log("failed", POINTS[:4])
    end_run(store, "failed", "canceled", "stopped", RunFacts(phases={"fit": 1.0}, seconds=2.0))
    registry.resume_run("failed", 2)
    registry.log("failed", POINTS[2:])
    for number in (1, 2):
        kept = Checkpoint(
            run_id="failed",
            step=number,
            seq=number,
            path=f"c/{number}",
            sha256="b" * 64,
            size=1,
            created=now(),
        )
        registry.add_checkpoint(kept)
    registry.forget_checkpoints("failed", [1])
    end_run(store, "failed", "failed", "Traceback\n  …größer", RunFacts(usage={"cpu_seconds": 3.0}))
    request = ExternalRunRequest(
        model=MODEL,
        data=Reference("scenes", "v1"),
        parameters={"rate": 1e-3},
        seed=7,
        origin=origin_of(None, "eve"),
        tags={"campaign": "autumn"},
    )
    external = begin(store, specification, request)
    registry.log(external.run_id, POINTS)
    registry.note_run(external.run_id, "labels of the north are old")
    registry.tag_run(external.run_id, "campaign", "spring")
    end(store, external.run_id, "failed", "no model", RunFacts({"loss": 0.5}))
    assert verify_all(store).problems == []
    registry.close()
    return root


@pytest.fixture
def copied(life: Path, tmp_path: Path) -> Path:
    """A copy of that workspace, whose registry is `before.db`."""
    root = shutil.copytree(life, tmp_path / "workspace")
    (root / "registry.db").rename(tmp_path / "before.db")
    for left in root.glob("registry.db-*"):
        left.unlink()
    return root


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind that has nothing yet."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("new_database")())
    return f"sqlite:///{tmp_path / 'rebuilt.db'}"


def tables(url: str) -> dict[str, list[Any]]:
    """Every row of every table that the log is about, of the log, and every point."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            name: [
                dict(row)
                for row in connection.execute(select(t).order_by(*t.primary_key.columns)).mappings()
            ]
            for name, t in Base.metadata.tables.items()
            if name not in UNLOGGED
        }
    engine.dispose()
    return found


def found_records(url: str) -> list[dict[str, Any]]:
    """Every record that the STAC API finds; numbers of rows are those of one database."""
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = [
            {name: value for name, value in row.items() if name != "item"}
            for table in ("stac_collections", "stac_items")
            for row in connection.execute(select(Base.metadata.tables[table])).mappings()
        ]
    engine.dispose()
    return sorted(rows, key=lambda row: (row.get("collection", ""), row["id"]))


def workspace(root: Path) -> Workspace:
    return Workspace(root.as_uri())


def before(root: Path) -> dict[str, list[Any]]:
    return tables(f"sqlite:///{root.parent / 'before.db'}")


def test_a_rebuilt_registry_is_equal_row_by_row_and_goes_on(copied: Path, url: str) -> None:
    expected = before(copied)
    # the life has all there is; packs are those of a commit of many small files, and registrations
    # with other catalogues are rebuilt in the tests of the registrar
    assert {name for name, rows in expected.items() if not rows} <= {
        "browser_sessions",
        "git_deliveries",
        "packed_objects",
        "registration_attempts",
        "registrations",
        "removals",
        "sign_ins",
        "staged",
        "tokens",
    }
    found = reindex(workspace(copied), url, CARL)
    assert found.unproven == []
    assert found.head == (expected["log"][-1]["seq"], expected["log"][-1]["sha256"])
    rebuilt = tables(url)
    assert {name: len(rows) for name, rows in rebuilt.items() if name in found.rows} == found.rows
    assert rebuilt == expected
    records = found_records(url)
    assert records == found_records(f"sqlite:///{copied.parent / 'before.db'}")
    assert {"one", MODEL, "scenes-v1"} <= {row["id"] for row in records}
    store = Store(workspace(copied), Registry(url).acting(CARL))
    assert verify_all(store).problems == []
    promote(store, store.registry.model_version(Reference(MODEL, "previous")), [])
    assert [row["id"] for row in tables(url)["promotions"]] == [
        *range(1, len(expected["promotions"]) + 2)
    ]
    store.registry.close()


def test_only_an_operator_rebuilds_a_registry(life: Path, tmp_path: Path) -> None:
    scientist = Principal("carl", frozenset({Role.SCIENTIST}))
    with pytest.raises(Forbidden, match="may not rebuild the registry"):
        reindex(workspace(life), f"sqlite:///{tmp_path / 'rebuilt.db'}", scientist)
    assert not (tmp_path / "rebuilt.db").exists()


def test_a_registry_with_rows_is_never_overwritten(copied: Path, url: str) -> None:
    reindex(workspace(copied), url, CARL)
    kept = tables(url)
    with pytest.raises(Conflict, match=r"has rows already \(.*runs.*--into"):
        reindex(workspace(copied), url, CARL)
    assert tables(url) == kept


def test_a_registry_that_was_only_opened_is_filled(copied: Path, url: str) -> None:
    Registry(url).close()
    reindex(workspace(copied), url, CARL)
    assert tables(url) == before(copied)


def test_what_fails_in_the_middle_leaves_nothing(
    copied: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = Workspace.get, itertools.count()
    half_of_the_second_reading = 1.5 * len(list((copied / "log").iterdir()))

    def failing(self: Workspace, key: str) -> bytes:
        if key.startswith("log/") and next(calls) > half_of_the_second_reading:
            raise StorageError("the store is unreachable")
        return original(self, key)

    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "get", failing)
        with pytest.raises(StorageError, match="unreachable"):
            reindex(workspace(copied), url, CARL)
    reindex(workspace(copied), url, CARL)
    assert tables(url) == before(copied)


def change(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"principal":"tester"', b'"principal":"mallory"'))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change, "entry 9 of the log does not follow the one before it"),
        (Path.unlink, "entry 8 of the log is missing: entry 9 follows 7"),
        (
            lambda path: path.write_bytes(b""),
            "entry 8 of the log has been changed: it is not an entry",
        ),
    ],
    ids=["changed", "gap", "emptied"],
)
def test_a_broken_log_is_named_and_rebuilds_up_to_there_only_if_asked(
    damage: Callable[[Path], Any], message: str, copied: Path, tmp_path: Path
) -> None:
    expected, url = before(copied), f"sqlite:///{tmp_path / 'rebuilt.db'}"
    damage(copied / log_entry_key(8))
    with pytest.raises(IntegrityError, match=message) as raised:
        reindex(workspace(copied), url, CARL)
    whole = 8 if damage is change else 7
    assert f"up to entry {whole} with --until {whole}" in str(raised.value)
    with pytest.raises(NotFound if damage is Path.unlink else IntegrityError):
        reindex(workspace(copied), url, CARL, until=8 if damage is not change else 9)
    engine = create_engine(url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    found = reindex(workspace(copied), url, CARL, until=7)
    assert tables(url)["log"] == expected["log"][:7]
    assert "file(s) are in no entry of the log" in found.unproven[-1]
    assert sorted(path.name for path in (copied / "log").iterdir()) == [
        Path(log_entry_key(seq)).name for seq in range(1, 8)
    ]
    store = Store(workspace(copied), Registry(url).acting(CARL))
    store.registry.tag("scenes", "v1", "again")  # the log continues where it ends now
    assert (copied / log_entry_key(8)).exists()
    store.registry.close()


def test_files_after_the_newest_mirrored_entry_are_listed(copied: Path, tmp_path: Path) -> None:
    newest = max((copied / "log").iterdir())
    newest.unlink()
    found = reindex(workspace(copied), f"sqlite:///{tmp_path / 'rebuilt.db'}", CARL)
    assert any("was running" in line or "were running" in line for line in found.unproven)
    assert "run.json" in found.unproven[-1]


def test_points_that_are_not_those_of_the_log_are_listed_and_noted(
    copied: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'rebuilt.db'}"
    (copied / "runs/failed/points.parquet").write_bytes(b"PAR1")
    succeeded = next(
        row["run_id"] for row in before(copied)["runs"] if row["status"] == "succeeded"
    )
    (copied / f"runs/{succeeded}/points.parquet").unlink()
    found = reindex(workspace(copied), url, CARL)
    lost = sorted(["failed", succeeded])
    listed = dict(zip(lost, sorted(found.unproven), strict=True))
    assert (
        listed["failed"]
        == "points of run failed: runs/failed/points.parquet is not as it was published"
    )
    assert listed[succeeded].startswith(
        f"points of run {succeeded}: only values and steps, of run.json"
    )
    expected, rebuilt = before(copied), tables(url)
    entry = json.loads(rebuilt["log"].pop()["entry"])
    assert (entry["action"], entry["principal"]) == ("reindex", "carl")
    assert [change[:2] for change in entry["changes"]] == [["points", [run]] for run in lost]
    assert [row for row in rebuilt["points"] if row["run_id"] not in lost] == [
        row for row in expected["points"] if row["run_id"] not in lost
    ]
    assert rebuilt | {"points": []} == expected | {"points": []}


def test_a_file_whose_publication_was_interrupted_is_completed_afterwards(
    copied: Path, tmp_path: Path
) -> None:
    version = next(row["version"] for row in before(copied)["model_versions"])
    path = copied / f"models/{MODEL}/{version}/model-card.md"
    (copied / "staged").mkdir(exist_ok=True)
    path.rename(copied / "staged/0123")
    path.write_text("of before")
    registry = Registry(f"sqlite:///{tmp_path / 'rebuilt.db'}")
    reindex(workspace(copied), registry.url, CARL)
    assert verify_all(Store(workspace(copied), registry.acting(CARL))).problems == []
    registry.close()


def test_files_of_the_same_content_whose_publication_was_interrupted_are_completed(
    copied: Path, tmp_path: Path
) -> None:
    store = Store(
        workspace(copied),
        Registry(f"sqlite:///{tmp_path / 'before.db'}").mirrored(workspace(copied)),
    )
    keys = ["predictions/a.png", "predictions/b.png"]
    with pytest.raises(KeyboardInterrupt):
        for content in (b"old", b"new"):
            with publication(store.workspace, store.registry) as publishing:
                publishing.put_all(dict.fromkeys(keys, content))
                store.registry.add_files(CATALOG_OWNER, publishing.files)
                if content == b"new":  # the process is killed
                    raise KeyboardInterrupt
    store.registry.close()
    registry = Registry(f"sqlite:///{tmp_path / 'rebuilt.db'}")
    reindex(workspace(copied), registry.url, CARL)
    assert verify_all(Store(workspace(copied), registry.acting(CARL))).problems == []
    assert [(copied / key).read_bytes() for key in keys] == [b"new", b"new"]
    registry.close()


def test_an_empty_workspace_gives_no_registry(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="neither a log nor documents"):
        reindex(workspace(tmp_path / "empty"), f"sqlite:///{tmp_path / 'rebuilt.db'}", CARL)


LOST = (
    "tags, aliases, promotions, checkpoints, notes on runs and tags set later, external records and"
    " tokens are in no document, and are lost"
)


def test_without_a_log_the_documents_give_what_they_have(copied: Path, url: str) -> None:
    shutil.rmtree(copied / "log")
    expected = before(copied)
    found = reindex(workspace(copied), url, CARL)
    rebuilt = tables(url)
    for name in ("data_versions", "files", "points"):
        assert rebuilt[name] == expected[name]
    # stages after the training add to them, and so do users
    later = {"phases": None, "user_tags": None}
    assert [row | later for row in rebuilt["runs"]] == [row | later for row in expected["runs"]]
    whole = [
        {**row, "created": row["created"].replace(microsecond=0)}
        for row in expected["model_versions"]
    ]
    assert [
        {**row, "created": row["created"].replace(microsecond=0)}
        for row in rebuilt["model_versions"]
    ] == whole
    assert [rebuilt[name] for name in ("tags", "aliases", "promotions", "checkpoints")] == [
        [],
        [],
        [],
        [],
    ]
    assert LOST in found.unproven and len(found.unproven) == 3
    assert any(line.startswith("versions are private if their record") for line in found.unproven)
    assert [json.loads(row["entry"])["action"] for row in rebuilt["log"]] == ["adopted"]
    store = Store(workspace(copied), Registry(url).acting(CARL))
    assert verify_all(store).problems == []
    store.registry.close()


def test_documents_of_earlier_releases_give_less_which_is_listed(
    copied: Path, tmp_path: Path
) -> None:
    shutil.rmtree(copied / "log")
    expected, url = before(copied), f"sqlite:///{tmp_path / 'rebuilt.db'}"
    runs = {row["run_id"]: row for row in expected["runs"] if row["status"] == "succeeded"}
    for folder in (copied / "runs").iterdir():
        (folder / "points.parquet").unlink(missing_ok=True)
        document = json.loads((folder / "run.json").read_text())
        if folder.name not in runs:
            (folder / "run.json").unlink()
            continue
        kept = (
            "run_id",
            "model",
            "dataset",
            "data_version",
            "data_digest",
            "parameters",
            "seed",
            "trainer",
            "code_version",
            "hardware",
            "orchestration_run",
            "started",
            "status",
            "model_version",
            "series",
            "signature",
        )
        (folder / "run.json").write_bytes(json_bytes({name: document[name] for name in kept}))
    version = copied / "datasets/scenes/v1/version.json"
    document = json.loads(version.read_text())
    version.write_bytes(
        json_bytes({name: document[name] for name in document.keys() - {"created", "created_by"}})
    )
    found = reindex(workspace(copied), url, CARL)
    rebuilt = tables(url)
    assert [row["created_by"] for row in rebuilt["data_versions"]] == ["unknown"]
    assert {row["run_id"]: (row["metrics"], row["environment"]) for row in rebuilt["runs"]} == {
        run_id: (row["metrics"], row["environment"]) for run_id, row in runs.items()
    }
    same = ("version", "stage", "task", "framework", "metrics", "signature")
    assert [{name: row[name] for name in same} for row in rebuilt["model_versions"]] == [
        {name: row[name] for name in same} for row in expected["model_versions"]
    ]
    assert len(rebuilt["points"]) == sum(row["run_id"] in runs for row in expected["points"])
    listed = "\n".join(found.unproven)
    assert LOST in listed and "created, created_by: in no document of scenes@v1" in listed
    assert re.search("metrics, .*error, host, pid, .*: in no document of run ", listed)
    assert "points of 2 run(s): only values and steps, of run.json" in listed
    store = Store(workspace(copied), Registry(url).acting(CARL))
    assert verify_all(store).problems == []
    store.registry.close()


def test_documents_that_cannot_be_read_are_listed_on_one_line_each(
    copied: Path, tmp_path: Path
) -> None:
    shutil.rmtree(copied / "log")
    version = copied / "datasets/scenes/v1/version.json"
    document = json.loads(version.read_text())
    del document["digest"]
    version.write_bytes(json_bytes(document))
    found = reindex(workspace(copied), f"sqlite:///{tmp_path / 'rebuilt.db'}", CARL)
    assert (
        "scenes@v1 is left out, as its documents cannot be read: digest: Field required"
        in found.unproven
    )


def test_a_new_registry_does_not_write_over_the_log_of_the_one_that_was_lost(
    copied: Path, tmp_path: Path
) -> None:
    registry = Registry(f"sqlite:///{tmp_path / 'rebuilt.db'}")
    store = Store(workspace(copied), registry.acting(CARL))
    kept = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    for write in (lambda _: store.registry.start_run(new_run("another")), STEPS["commit v1"]):
        with pytest.raises(IntegrityError, match="rebuild it with 'mlops reindex'"):
            write(store)
    assert {path: path.read_bytes() for path in kept} == kept
    reindex(workspace(copied), registry.url, CARL)
    store.registry.start_run(new_run("another"))
    registry.close()


def test_a_log_with_rows_that_no_table_takes_is_refused(tmp_path: Path) -> None:
    changes = {
        "there is no table kittens": ["kittens", ["tom"], {}],
        "it has no column colour": ["tags", ["fields", "a"], {"version": "v1", "colour": "red"}],
        "aliases does not take": [
            "aliases",
            ["crops", "production"],
            {"version": "v1", "since": "yesterday"},
        ],
        "NOT NULL": ["aliases", ["crops", "production"], {"version": "v1"}],
    }
    for message, change in changes.items():
        entry = {
            "seq": 1,
            "previous": "",
            "time": "",
            "principal": "",
            "mirrored": 0,
            "action": "",
            "changes": [change],
        }
        workspace(tmp_path).put(log_entry_key(1), canonical(entry).encode())
        with pytest.raises((IntegrityError, StorageError), match=message):
            reindex(workspace(tmp_path), f"sqlite:///{tmp_path / 'rebuilt.db'}", CARL)
