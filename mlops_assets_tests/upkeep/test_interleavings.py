"""Garbage collection beside work under way, in many orders: it never takes what the work needs."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from unittest.mock import patch

import obstore
import pytest
from obstore.store import MemoryStore, ObjectStore

from mlops_assets.datasets.commit import commit as commit_module
from mlops_assets.datasets.commit import packing
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.recall import objects
from mlops_assets.datasets.sources import folder
from mlops_assets.errors import StorageError, TrainerError
from mlops_assets.models.evaluation.evaluate import evaluate_version
from mlops_assets.models.export.export import export
from mlops_assets.models.verify import verify_all
from mlops_assets.paths import PARTS
from mlops_assets.prediction.predict import plan_parts, predict_parts
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.storage import Workspace
from mlops_assets.storage import workspace as workspace_module
from mlops_assets.store import Store
from mlops_assets.training import provenance
from mlops_assets.training.train import train
from mlops_assets.upkeep.backup.create import Backup, create_backup
from mlops_assets.upkeep.backup.documents import BackupPlace
from mlops_assets.upkeep.backup.restore import restore_backup
from mlops_assets.upkeep.gc import collect
from mlops_assets.upkeep.rules import Kind, Rules
from mlops_assets_tests.conftest import crops_table, scenes_specification, table_specification
from mlops_assets_tests.faults.life import land
from mlops_assets_tests.prediction.jobs import job_of, map_scene
from mlops_assets_tests.training.example_trainers import (
    HERE,
    model_specification,
    training_request,
)
from mlops_assets_tests.upkeep.turns import Turns, by_turns

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEEDS = 200
# files are taken however young they are: nothing but the locks protects them
RULES = Rules(
    objects=timedelta(days=-1),
    succeeded=timedelta(days=-1),
    unfinished=timedelta(0),
    parts=timedelta(days=1),
    steps=timedelta(days=1),
)
RUN = f"resumed{'0' * 25}"
Job = Callable[[Store], object]


def tables(landing: Path) -> None:
    """Land tables: many small ones, which a commit packs, and a few that it does not."""
    landing.mkdir(parents=True)
    for number in range(6):
        crops_table(12, seed=number).to_csv(landing / f"{number:02}.csv", index=False)
    for number in range(6, 8):
        crops_table(500, seed=number).to_csv(landing / f"{number:02}.csv", index=False)


def _specification(root: Path) -> object:
    landing = (root / "landing/fields").as_uri()
    return table_specification(
        source={"url": landing, "layout": "table", "table": {"label": "crop"}}
    )


def _commit(root: Path) -> Job:
    return lambda store: commit(store.workspace, store.registry, _specification(root))  # type: ignore[arg-type]


def _killed_commit(store: Store, root: Path) -> None:
    """Leave a commit's objects, packs, and what recognises them, without a data version."""
    with (
        patch.object(commit_module, "publish", side_effect=StorageError("killed")),
        pytest.raises(StorageError, match="killed"),
    ):
        _commit(root)(store)


def _train(_root: Path) -> Job:
    return lambda store: train(store, training_request(model_specification(), run_id="a" * 32))


def _patient(steps: int, trainer: str = "patient") -> object:
    specification = model_specification("patient", trainer=f"{HERE}:{trainer}")
    return training_request(specification, "v1", {"steps": steps}, run_id=RUN)


def _resume(_root: Path) -> Job:
    return lambda store: train(store, _patient(6))  # type: ignore[arg-type]


def _scene(root: Path) -> Path:
    return root / "landing/scenes/images/a.tif"


def _predict(root: Path) -> Job:
    return lambda store: map_scene(store, _crops(store), _scene(root), "map")


def _crops(store: Store) -> ModelVersion:
    return store.registry.model_versions("mapped")[-1]


def _opened(root: Path, bucket: ObjectStore | None = None) -> Store:
    registry = Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester"))
    if bucket is None:
        return Store(Workspace(root.as_uri()), registry)
    with patch.object(workspace_module, "open_object_store", return_value=bucket):
        return Store(Workspace("s3://memory", root / "cache", 8 << 10), registry)


def _of_tables(root: Path) -> None:
    tables(root / "landing/fields")
    _killed_commit(_opened(root), root)


def _of_runs(root: Path) -> None:
    """A data version, a failed run with checkpoints, and the objects of a run that no row names."""
    tables(root / "landing/fields")
    store = _opened(root)
    _commit(root)(store)
    with (
        patch(f"{HERE}.tree", side_effect=RuntimeError("out of luck")),
        # else its row names what the next run stores
        patch.object(provenance, "environment", return_value={"python": "3.10", "packages": {}}),
        pytest.raises(TrainerError, match="out of luck"),
    ):
        train(store, _patient(6))  # type: ignore[arg-type]
    before = set(store.workspace.list("objects"))
    with (
        patch.object(Registry, "start_run", side_effect=StorageError("killed")),
        patch("mlops_assets.training.resume.patiently", lambda action: action()),
        pytest.raises(StorageError, match="killed"),
    ):
        store.workspace.put_object(b"orphan")
        _train(root)(store)
    assert set(store.workspace.list("objects")) - before
    store.registry.close()


def _of_maps(root: Path) -> None:
    """A model, and the parts of its map that nobody has continued for two days."""
    root.mkdir(exist_ok=True)
    land(root, "a", 0)
    store = _opened(root)
    commit(store.workspace, store.registry, scenes_specification())
    specification = model_specification("mapped", dataset="scenes", inputs="patch")
    row = train(store, training_request(specification))
    export(store, specification, row)
    evaluate_version(store, specification, _crops(store))
    job = job_of(_crops(store), _scene(root), "map")
    predict_parts(store, job, plan_parts(store, job))
    for path in (root / PARTS).rglob("*"):
        written = path.stat().st_mtime - 2 * 86_400
        os.utime(path, (written, written))
    store.registry.close()


TEMPLATES = {"tables": _of_tables, "runs": _of_runs, "maps": _of_maps}
JOBS: dict[str, tuple[str, Callable[[Path], Job], bool]] = {
    "commit": ("tables", _commit, False),
    "commit to a bucket": ("tables", _commit, True),
    "train": ("runs", _train, False),
    "resume": ("runs", _resume, False),
    "predict": ("maps", _predict, False),
}


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Workspaces with files that nothing needs, and that a job is about to use."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(folder, "CLOCK_SECONDS", -3600.0)
        patched.setattr(packing, "MANY", 4)
        made = {}
        for name, make in TEMPLATES.items():
            made[name] = tmp_path_factory.mktemp("template") / "workspace"
            make(made[name])
    return made


class Interleaving:
    """A job and a garbage collection on a copy of a template, by turns."""

    def __init__(self, template: Path, root: Path, name: str) -> None:
        """Copy the template, into a bucket if the job is to have one."""
        shutil.copytree(template, root)
        _, job, in_bucket = JOBS[name]
        self.bucket: MemoryStore | None = None
        if in_bucket:
            self.bucket = MemoryStore()
            for folder_name in ("objects", "log"):
                for path in (root / folder_name).rglob("*"):
                    if path.is_file():
                        obstore.put(self.bucket, path.relative_to(root).as_posix(), path)
                shutil.rmtree(root / folder_name, ignore_errors=True)
        self.store = _opened(root, self.bucket)
        # landed files and scenes are those of the template, by whose URLs they are recognised
        self.job = job(template)

    def collect(self) -> object:
        """Collect garbage."""
        return collect(self.store, RULES, (), delete=True)

    def run(
        self, seed: int, monkeypatch: pytest.MonkeyPatch, other: Callable[[], object]
    ) -> tuple[object, object]:
        """Return what the job and something else beside it came to."""
        turns = Turns(seed)
        with monkeypatch.context() as patched:
            by_turns(turns, patched)
            patched.setattr(packing, "MANY", 4)
            results = turns.run(
                job=lambda: self.job(self.store),
                other=other,
            )
        return results["job"], results["other"]


def interleaved(
    name: str,
    seed: int,
    templates: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[list[str], Counter[Kind]]:
    """Run a job beside a collection; return what is wrong afterwards, and what was removed."""
    root = tmp_path / f"{seed}"
    case = Interleaving(templates[JOBS[name][0]], root, name)
    try:
        done, found = case.run(seed, monkeypatch, case.collect)
        if isinstance(done, Exception) or isinstance(found, Exception):
            return [f"job: {done!r}, gc: {found!r}"], Counter()
        assert isinstance(found, list)
        removed = Counter({tally.kind: tally.files for tally in found})
        with patch.object(objects, "open_object_store", return_value=case.bucket):
            problems = verify_all(case.store).problems
        if name == "resume":
            points = case.store.registry.points(RUN)
            steps = [step for _, point, step, _, _ in points if point == "drawn"]
            problems += [] if steps == list(range(6)) else [f"points of steps {steps}"]
        return problems, removed
    finally:
        case.store.registry.close()
        shutil.rmtree(root)


@pytest.mark.parametrize("name", JOBS)
def test_nothing_that_work_under_way_needs_is_removed(
    name: str, templates: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {}
    removed: Counter[Kind] = Counter()
    for seed in range(list(JOBS).index(name), SEEDS, len(JOBS)):
        problems, found = interleaved(name, seed, templates, tmp_path, monkeypatch)
        removed += found
        if problems:
            wrong[seed] = problems
    assert wrong == {}
    assert removed, "no collection came before the job: nothing was tried"


@pytest.mark.parametrize("name", ["commit", "commit to a bucket", "train"])
def test_without_the_lock_of_those_who_store_objects_some_are_lost(
    name: str, templates: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Registry, "storing", lambda _self: nullcontext())
    found = (interleaved(name, seed, templates, tmp_path, monkeypatch)[0] for seed in range(SEEDS))
    assert any("is missing from" in problem for problems in found for problem in problems)


@pytest.mark.parametrize("name", ["commit", "train", "resume"])
def test_a_backup_beside_work_under_way_is_whole(
    name: str, templates: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = set()
    for seed in range(8):
        case = Interleaving(templates[JOBS[name][0]], tmp_path / f"{seed}", name)
        place = (tmp_path / f"{seed}-backups").as_uri()
        done, made = case.run(seed, monkeypatch, partial(create_backup, case.store, place))
        assert not isinstance(done, Exception)
        assert isinstance(made, Backup), made
        heads.add(made.document.head)
        case.store.registry.close()
        root = tmp_path / f"{seed}-restored"
        url = f"sqlite:///{root / 'registry.db'}"
        opened = BackupPlace(place, tmp_path / "cache")
        restore_backup(opened, Workspace(root.as_uri()), url, local("tester"))
        store = _opened(root)
        assert verify_all(store).problems == []
        store.registry.close()
    assert len(heads) > 1, "every backup came before the work, or after it: nothing was tried"
