"""`mlops dataset diff|recall|verify|show|list|tag|commit` as a person uses them."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets.datasets.commit import commit as commits
from mlops_assets.datasets.quality.assessment import assess
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset, SplitName
from mlops_assets.datasets.versions.documents import published_documents
from mlops_assets.datasets.versions.summarise import summarise
from mlops_assets.datasets.versions.summary import Summary
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.datasets.committed_images import (
    damage,
    image,
    images,
    images_specification,
    land_images,
    object_path,
    tree,
)
from mlops_assets_tests.servers.buckets import Bucket

HALVES = {"train": 0.5, "test": 0.5}
MAIZE, WHEAT = "train/maize/1.npy", "train/wheat/1.npy"


@pytest.fixture
def two(store: Store) -> Store:
    """Tiles in two versions.

    Of the second one image is new, one gone, one changed and one renamed into `test`.
    """
    land_images(store)
    files = {**images(), MAIZE: image(51), "train/wheat/10.npy": image(52)}
    files["test/wheat/9.npy"] = files.pop(WHEAT)
    del files["validation/maize/1.npy"]
    land_images(
        store, files, images_specification(classes={"wheat": "Winter wheat", "maize": "Maize"})
    )
    store.registry.tag("tiles", "v1", "first")
    return store


# diff


def test_diff_of_a_dataset_is_of_its_last_two_versions(two: Store, mlops: Mlops) -> None:
    out = mlops("dataset", "diff", "tiles").out
    assert (
        out
        == mlops("dataset", "diff", "tiles@first", "tiles@v2").out
        == mlops("dataset", "diff", "tiles@v1").out
    )
    assert out.startswith("tiles@v1 → tiles@v2\n")
    for line in (
        "files: 1 added, 1 removed, 1 changed, 1 renamed, 9 unchanged",
        "+ train/wheat/10.npy  256 bytes",
        "- validation/maize/1.npy  256 bytes",
        "~ train/maize/1.npy  256 → 256 bytes",
        "> train/wheat/1.npy → test/wheat/9.npy",
        "samples: 1 added, 1 removed, 0 relabelled, 1 moved, 10 unchanged",
        "+ 1 of train: 1 Winter wheat",
        "train → test: 1",
        "test/wheat/9.npy [0, 0]: train → test",
        "> wheat: wheat → Winter wheat",
        "Winter wheat         2 → 2  2 → 2       2 → 3",
        "classes.maize: – → Maize",
    ):
        assert line in out


def test_diff_in_json_and_as_changeset(two: Store, mlops: Mlops) -> None:
    document = mlops("dataset", "diff", "tiles", "--json").json
    assert document["before"]["reference"], document["after"]["reference"] == (
        "tiles@v1",
        "tiles@v2",
    )
    assert document["samples"]["moves"] == [{"before": "train", "after": "test", "samples": 1}]
    assert [row["path"] for row in document["files"]["added"]] == ["train/wheat/10.npy"]
    assert {balance["split"] for balance in document["class_balance"]} == {
        "train",
        "validation",
        "test",
    }
    changeset = mlops("dataset", "diff", "tiles", "--changeset").json
    assert changeset["type"] == "AI_TDChangeset"
    assert [entry["id"] for entry in changeset["modify"]] == [MAIZE]


def test_diff_cuts_long_lists_for_people_only(store: Store, mlops: Mlops) -> None:
    land_images(store)
    many = {f"test/wheat/new{n:03d}.npy": image(200 + n) for n in range(50)}
    land_images(store, {**images(), **many})
    out = mlops("dataset", "diff", "tiles").out
    assert "+ test/wheat/new019.npy" in out
    assert "new020" not in out
    assert "… and 30 more" in out
    assert len(mlops("dataset", "diff", "tiles", "--json").json["samples"]["added"]) == 50


def test_diff_of_the_same_content_reports_it(two: Store, mlops: Mlops) -> None:
    assert "the same content" in mlops("dataset", "diff", "tiles@v1", "tiles@first").out
    assert mlops("dataset", "diff", "tiles@v1", "tiles@v1", "--json").json["same"]


def test_diff_of_scenes(store: Store, mlops: Mlops) -> None:
    from mlops_assets.datasets.commit.commit import commit

    specification = scenes_specification()
    for name in ("a", "b"):
        write_scene(store.workspace.root / specification.source.url, name, seed=ord(name))
        commit(store.workspace, store.registry, specification)
    out = mlops("dataset", "diff", "scenes").out
    assert "+ images/b.tif" in out
    assert "left out" in out
    assert "shift: standardised mean difference" in out
    assert "water" in out


# recall


def test_recall_writes_a_version_back(two: Store, mlops: Mlops, tmp_path: Path) -> None:
    done = mlops("dataset", "recall", "tiles@first", "recalled")
    assert done.code == 0
    assert f"tiles@v1 is in {tmp_path / 'recalled'}: 12 file(s), 3,072 bytes: 12 " in done.out
    assert tree(tmp_path / "recalled") == images()
    again = mlops("dataset", "recall", "tiles@first", "recalled", "--json").json
    assert (again["kept"], again["written"], again["files"]) == (12, {}, 12)


def test_recall_of_a_part_states_what_was_requested(
    two: Store, mlops: Mlops, tmp_path: Path
) -> None:
    out = mlops(
        "dataset", "recall", "tiles@v1", "part", "--split", "test", "--class", "wheat", "--copy"
    ).out
    assert "2 file(s)" in out
    assert "2 copied" in out
    assert "2 sample(s) (whole files; only these samples were requested)" in " ".join(out.split())
    assert set(tree(tmp_path / "part")) == {"test/wheat/1.npy", "test/wheat/2.npy"}


def test_recall_over_other_files_names_them_and_force_replaces_them(
    two: Store, mlops: Mlops, tmp_path: Path
) -> None:
    mlops("dataset", "recall", "tiles@v1", "recalled")
    refused = mlops("dataset", "recall", "tiles", "recalled")
    assert refused.code == 1
    assert "holds 1 other file(s) under names of tiles@v2; nothing was written" in refused.err
    assert f"- {MAIZE}: has other bytes" in refused.err
    assert tree(tmp_path / "recalled") == images()
    assert mlops("dataset", "recall", "tiles", "recalled", "--force").code == 0
    assert (tmp_path / "recalled" / MAIZE).read_bytes() == image(51)


@pytest.mark.services
def test_recall_to_a_bucket(two: Store, mlops: Mlops, s3: Bucket) -> None:
    assert "12 copied" in mlops("dataset", "recall", "tiles@v1", f"{s3.url}/tiles").out
    assert s3.get(f"tiles/{WHEAT}") == images()[WHEAT]


# verify


def test_verify_ends_with_1_if_anything_is_not_as_published(two: Store, mlops: Mlops) -> None:
    well = mlops("dataset", "verify", "tiles@v1", "--quiet")
    assert (well.code, well.err) == (0, "")
    assert "3 document(s) and 12 file(s)" in well.out
    assert "everything is as published" in well.out
    path = object_path(two, land_images(two), MAIZE)
    damage(path)
    failed = mlops("dataset", "verify", "tiles@first")
    assert failed.code == 1
    assert MAIZE in failed.out
    assert "changed" in failed.out
    assert "1 file(s), pack(s) or document(s) differ from what was published" in failed.err
    assert "commit tiles --rehash" in " ".join(failed.err.split())
    document = mlops("dataset", "verify", "tiles@v1", "--json")
    assert document.code == 1
    assert document.json["passed"] is False
    assert [(d["path"], d["fault"]) for d in document.json["damages"]] == [(MAIZE, "changed")]
    assert mlops("dataset", "verify", "tiles@v2").code == 0


# commit, show, list, tag


def test_commit_rehash_mends_a_damaged_object(project: Path, mlops: Mlops) -> None:
    assert mlops("dataset", "commit", "samples", "--no-assess").code == 0
    (stored,) = (project / "workspace" / "objects").rglob("*/*/*")
    content = stored.read_bytes()
    damage(stored)
    assert "nothing new" in mlops("dataset", "commit", "samples", "--no-assess").out
    assert mlops("dataset", "verify", "samples").code == 1
    mended = mlops("dataset", "commit", "samples", "--rehash", "--no-assess")
    assert "nothing new" in mended.out
    assert stored.read_bytes() == content
    assert mlops("dataset", "verify", "samples").code == 0


def test_commit_assesses_and_prints_failed_checks_by_the_current_thresholds(
    project: Path, mlops: Mlops
) -> None:
    declared = project / "fieldwork" / "defs" / "samples" / "defs.yaml"
    committed = mlops("dataset", "commit", "samples", "--no-assess")
    assert "checks passed" not in committed.out
    assert (
        "not assessed; run 'mlops dataset assess samples@v1'"
        in mlops("dataset", "show", "samples").out
    )
    warning = "  warning: classes_in_each_split: not in validation: Corn-mintill, Soybean-clean\n"
    committed = mlops("dataset", "commit", "samples")
    assert (committed.code, "samples@v1: 7 of 10 checks passed\n" in committed.out) == (0, True)
    # in the note, with the remedy
    assert committed.out.count("not in validation: Corn-mintill, Soybean-clean") == 1
    assert warning in mlops("dataset", "show", "samples").out
    assert (project / "workspace/catalog/datasets/samples/v1/collection.json").is_file()
    text = declared.read_text().replace("license: CC-BY-3.0", "license: CC-BY-4.0")
    text = text.replace("  split: {", "  quality: {max_class_shift: 1}\n  split: {", 1)
    declared.write_text(text)
    assert [
        check["name"]
        for check in mlops("dataset", "show", "samples", "--json").json["checks"]
        if not check["passed"]
    ] == ["classes_in_each_split", "label_noise"]
    for name in [name for name in sys.modules if name.split(".")[0] == "fieldwork"]:
        del sys.modules[name]
    assessed = mlops("dataset", "assess", "samples@v1")
    assert assessed.code == 0
    assert "samples@v1: 8 of 10 checks passed\n" in assessed.out
    assert "  the dataset's record has changed: license: CC-BY-3.0 → CC-BY-4.0\n" in assessed.out
    assert mlops("dataset", "show", "samples", "--json").json["license"] == "CC-BY-4.0"


def test_preview_shows_split_tables_and_publishes_nothing(project: Path, mlops: Mlops) -> None:
    out = mlops("dataset", "preview", "samples", "--seeds", "8").out
    assert "0     Corn-mintill     77     0           43\n" in out
    assert "seed 0 (declared): not in validation: Corn-mintill, Soybean-clean\n" in out
    assert out.endswith("samples of every class are in every split with seed: 6, 7\n")
    found = mlops("dataset", "preview", "samples", "--seeds", "7", "--json").json
    assert [entry["seed"] for entry in found["seeds"] if entry["complete"]] == [6]
    assert found["seeds"][0]["counts"]["Corn-mintill"] == {"train": 77, "validation": 0, "test": 43}
    assert mlops("dataset", "list", "--json").json == []
    assert mlops("dataset", "preview", "nothing").code == 1


@pytest.mark.slow
def test_a_check_that_blocks_training_is_printed_and_can_be_allowed(
    project: Path, mlops: Mlops
) -> None:
    landed = project / "workspace" / "landing" / "samples" / "samples.csv"
    table = pd.read_csv(landed)
    values = [name for name in table.columns if name not in ("block", "land_cover")]
    for rows in table.groupby("land_cover").groups.values():
        table.loc[rows[::2], values] = table.loc[rows[0], values].to_numpy()
    table.to_csv(landed, index=False)
    committed = mlops("dataset", "commit", "samples")
    assert committed.code == 0
    assert "  blocks training: leakage: " in committed.out
    trained = mlops("train", "samples_forest", "-p", "n_estimators=3")
    assert (trained.code, "check 'leakage' failed" in trained.err) == (1, True)
    assert mlops("dataset", "assess", "samples").code == 1
    declared = project / "fieldwork" / "defs" / "samples" / "defs.yaml"
    declared.write_text(
        declared.read_text().replace("  split: {", "  quality: {max_duplicates: 1}\n  split: {", 1)
    )
    for name in [name for name in sys.modules if name.split(".")[0] == "fieldwork"]:
        del sys.modules[name]
    allowed = mlops("dataset", "assess", "samples", "--json")
    assert allowed.code == 0
    assert {check["name"]: check["passed"] for check in allowed.json["checks"]}["leakage"]


def test_show_prints_the_content_of_a_version(store: Store, mlops: Mlops) -> None:
    from mlops_assets.datasets.commit.commit import commit

    specification = scenes_specification(title="Two scenes")
    write_scene(store.workspace.root / specification.source.url, crs="EPSG:32632")
    commit(store.workspace, store.registry, specification)
    store.registry.tag("scenes", "v1", "spring")
    shown = mlops("dataset", "show", "scenes@spring", "--json").json
    assert {
        "dataset": "scenes",
        "version": "v1",
        "title": "Two scenes",
        "tags": ["spring"],
        "crs": ["EPSG:32632"],
        "layout": "scenes",
        "interval": None,
        "created_by": "tester",
    }.items() <= shown.items()
    assert shown["landing"] == f"{store.workspace.url}/landing/scenes"
    assert shown["bbox"][0] == pytest.approx(9.0, abs=0.01)
    assert [entry["name"] for entry in shown["classes"]] == ["water", "land"]
    for split in ("train", "validation", "test", "left_out"):
        assert sum(entry[split] for entry in shown["classes"]) == shown["splits"][split]
    assert "datasets/scenes/v1/manifest.parquet" in shown["stored"]
    found = Summary.open(store.workspace, store.registry, Reference("scenes"))
    files = published_documents(store.workspace, store.registry, found.row)[1:]
    assert summarise(found.document, *files) == found.document.summary
    out = mlops("dataset", "show", "scenes").out
    for text in (
        "EPSG:32632",
        "spring",
        "Two scenes",
        "unknown",
        "water",
        "left_out",
        shown["digest"][:40],
    ):
        assert text in out


@pytest.mark.parametrize("counted", [True, False], ids=["this release", "an earlier one"])
def test_show_counts_the_pixels_of_windows(
    store: Store, mlops: Mlops, monkeypatch: pytest.MonkeyPatch, counted: bool
) -> None:
    if not counted:
        monkeypatch.setattr(
            commits, "summarise", lambda draft, rows, taken, _: summarise(draft, rows, taken)
        )
    options = {"read": "windows", "size": 16}
    source = {"url": "landing/scenes", "layout": "scenes", "scenes": options}
    # the last column of windows is cut off by the edge
    labels = write_scene(store.workspace.root / "landing/scenes", size=40)
    specification = scenes_specification(
        source=source, split={"method": "spatial_block", "block": 16, "fractions": HALVES}
    )
    row = commits.commit(store.workspace, store.registry, specification).version
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("scenes", "v1"))

    def pixels(value: int, split: SplitName) -> int:
        places = committed.split(split)[["row", "column"]].itertuples(index=False)
        windows = [labels[row : row + 16, column : column + 16] for row, column in places]
        return sum(int((window == value).sum()) for window in windows)

    expected = [
        (name, pixels(value, "train"), pixels(value, "test"))
        for value, name in ((1, "water"), (2, "land"))
    ]

    def shown() -> list[tuple[str, int | None, int | None]]:
        document = mlops("dataset", "show", "scenes", "--json").json
        assert document["classes_counted_in"] == "labelled pixels"
        return [(entry["name"], entry["train"], entry["test"]) for entry in document["classes"]]

    assert row.counts["train"] and row.counts["test"]
    assert shown() == (expected if counted else [("water", None, None), ("land", None, None)])
    assert "labelled pixels of each class:" in mlops("dataset", "show", "scenes").out
    # what an earlier release has counted is in its report
    assess(store.registry, committed)
    assert shown() == expected


def test_list_gives_every_version_with_its_tags(two: Store, mlops: Mlops) -> None:
    land_images(two, specification=images_specification("others"))
    rows = mlops("dataset", "list", "--json").json
    assert [(row["dataset"], row["version"], row["tags"], row["size"]) for row in rows] == [
        ("others", "v1", [], 3072),
        ("tiles", "v1", ["first"], 3072),
        ("tiles", "v2", [], 3072),
    ]
    assert "3,072" in mlops("dataset", "list", "tiles").out
    assert mlops("dataset", "list", "nothing", "--json").json == []


def test_a_tag_names_a_version_everywhere_and_does_not_move(two: Store, mlops: Mlops) -> None:
    assert (
        "tiles@harvest-2024 is tiles@v2" in mlops("dataset", "tag", "tiles@v2", "harvest-2024").out
    )
    assert mlops("dataset", "show", "tiles@harvest-2024", "--json").json["version"] == "v2"
    moved = mlops("dataset", "tag", "tiles@v1", "harvest-2024")
    assert (moved.code, "tags do not move" in moved.err) == (1, True)


# what cannot be done


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["diff", "nothing"], 1, "dataset 'nothing' has no data version"),
        (["diff", "alone"], 1, "alone has only v1; land more, or name another dataset"),
        (["diff", "tiles@v1", "tiles@v9"], 1, "tiles@v9 is not known; tiles has v1, v2"),
        (["diff", "tiles@../..", "tiles"], 1, "cannot be used"),
        (["recall", "tiles@v9", "out"], 1, "tiles@v9 is not known; tiles has v1, v2"),
        (["recall", "tiles"], 2, "Missing argument 'target'"),
        (["recall", "tiles", "a file"], 1, "is a file; name a folder"),
        (["recall", "tiles", "workspace/objects"], 1, "is inside the workspace"),
        (
            ["recall", "tiles", "out", "--split", "tset"],
            2,
            "'tset' is not one of 'train', 'validation', 'test'",
        ),
        (
            ["recall", "tiles", "out", "--class", "rye"],
            1,
            "no such class in tiles@v2, which has Winter wheat, Maize",
        ),
        (["recall", "tiles", "ftp://host/x"], 1, "files can be recalled to a folder, or to s3://"),
        (["verify", "tiles@nothing"], 1, "tiles@nothing is not known; tiles has v1, v2"),
    ],
)
def test_bad_input_is_one_message_without_a_traceback(
    two: Store, mlops: Mlops, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    land_images(two, specification=images_specification("alone"))
    (tmp_path / "a file").touch()
    outcome = mlops("dataset", *arguments)
    assert outcome.code == code, outcome.err
    assert said in " ".join(outcome.err.replace("│", " ").split())
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()
