"""Gates checked on models that were trained, exported and evaluated: on real, small data."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset, SplitName
from mlops_assets.errors import GateFailure
from mlops_assets.models.approval.decisions import deprecate
from mlops_assets.models.gates import comparison
from mlops_assets.models.gates.check import check_gates
from mlops_assets.models.gates.outcomes import GateOutcome, published_gates
from mlops_assets.models.lifecycle import Outcome, do_stage
from mlops_assets.models.promotion import promote
from mlops_assets.models.signing.statements import signed_files
from mlops_assets.models.specification import Gate
from mlops_assets.names import Reference
from mlops_assets.paths import model_owner
from mlops_assets.principals import Principal, Role
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, scenes_specification, table_specification
from mlops_assets_tests.models.test_promotion import registered
from mlops_assets_tests.steps import Unheard
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

Land = Callable[..., Commit]
NOT_WORSE = Gate(metric="accuracy", not_worse_than="production", tolerance=0.05)


def farms(rows: int = 1200, count: int = 80) -> pd.DataFrame:
    """Crops of farms, which shallow trees separate worse."""
    return crops_table(rows).assign(farm=np.arange(rows) % count)


def by_farm(seed: int = 0, column: str = "farm") -> DatasetSpecification:
    table = {"label": "crop", "group": column}
    split = {"method": "group", "fractions": {"train": 0.5, "test": 0.5}, "seed": seed}
    return table_specification(
        source={"url": "landing/fields", "layout": "table", "table": table}, split=split
    )


def trained(store: Store, data_version: str = "v1", **params: Any) -> ModelVersion:
    return lifecycle(store, model_specification(), data_version, recorded=True, **params)


def compared(store: Store, row: ModelVersion, gate: Gate = NOT_WORSE) -> GateOutcome:
    (outcome,) = check_gates(store, row, [gate])
    return outcome


def test_equal_models_pass_and_worse_ones_fail(
    store: Store, land_table: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_table(farms(), by_farm())
    production, equal, worse = (trained(store, depth=depth) for depth in (4, 5, 1))
    promote(store, production, [])
    found = compared(store, equal)
    assert found.verdict == "passed" and found.evidence is not None
    assert (found.evidence.other, found.evidence.data) == (production.version, "fields@v1")
    assert found.evidence.unit == "groups (farm)" and found.evidence.units > 20
    assert found.value == pytest.approx(equal.metrics["accuracy"])
    assert found.limit == pytest.approx(production.metrics["accuracy"] - 0.05)
    assert compared(store, worse).verdict == "failed"
    with pytest.raises(GateFailure, match=r"production \(tolerance 0\.05\): FAILED at"):
        promote(store, worse, [NOT_WORSE])
    # both have run once
    monkeypatch.setattr(comparison, "compare", None)
    assert compared(store, equal) == found
    promote(store, equal, [NOT_WORSE])
    assert store.registry.promotions("crops")[-1].gates == [found.document()]


def test_a_deprecated_production_is_not_compared_with(store: Store, land_table: Land) -> None:
    land_table(farms(), by_farm())
    production, worse = trained(store), trained(store, depth=1)
    promote(store, production, [])
    deprecate(store, production, "wrong labels", force=True)
    found = compared(store, worse)
    assert found.passed and f"production {production.version} is deprecated" in str(found)


def test_a_comparison_that_was_not_made_is_undecided_until_promotion(
    store: Store, land_table: Land
) -> None:
    land_table(farms(), by_farm())
    promote(store, trained(store), [])
    row = trained(store, depth=5)
    (pending,) = check_gates(store, row, [NOT_WORSE], run=False)
    assert pending.verdict == "cannot tell" and "yet; promotion does" in str(pending)
    assert promote(store, row, [NOT_WORSE]).version == row.version


def test_models_run_once_for_a_promotion_by_who_may_not_publish(
    store: Store, land_table: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_table(farms(), by_farm())
    promote(store, trained(store, depth=4), [])
    row = trained(store, depth=5)
    calls: list[ModelVersion] = []
    compare = comparison.compare

    def counted(store: Store, row: ModelVersion, *others: Any) -> comparison.Comparison:
        calls.append(row)
        return compare(store, row, *others)

    monkeypatch.setattr(comparison, "compare", counted)
    approver = store.acting(Principal("ann", frozenset({Role.APPROVER})))
    assert promote(approver, row, [NOT_WORSE]).version == row.version
    assert len(calls) == 1


def test_few_units_cannot_tell_and_how_many_more_would(store: Store, land_table: Land) -> None:
    land_table(farms(300, 20), by_farm())
    promote(store, trained(store), [])
    found = compared(store, trained(store, depth=4))
    assert found.evidence is not None and found.evidence.units < 20
    assert found.verdict == "cannot tell" and not found.passed
    assert found.evidence.needed == 20 - found.evidence.units
    assert f"about {found.evidence.needed} more test units needed" in str(found)


def test_what_either_model_has_seen_is_left_out(store: Store, land_table: Land) -> None:
    """With another seed of the split, half of the test farms are training farms of before."""
    land_table(farms(), by_farm())
    production = trained(store)
    promote(store, production, [])
    land_table(farms(), by_farm(seed=1))
    found = compared(store, trained(store, "v2"))
    assert found.evidence is not None and found.evidence.data == "fields@v2"
    test = set(farms_of(store, "v2", "test"))
    seen = test & set(farms_of(store, "v1", "train"))
    assert 0 < len(seen) == found.evidence.left_out
    assert found.evidence.units == len(test) - len(seen)
    assert f"{len(seen)} left out as training has seen them" in str(found)


def test_nothing_left_cannot_tell(store: Store, land_table: Land) -> None:
    """Rows are known by their values, wherever they are in the file."""
    frame = farms().assign(part=np.repeat(["train", "test"], 600))
    table = {"label": "crop", "split": "part"}
    specification = table_specification(
        source={"url": "landing/fields", "layout": "table", "table": table},
        split={"method": "column"},
    )
    land_table(frame, specification)
    promote(store, trained(store), [])
    frame["part"] = frame["part"].map({"train": "test", "test": "train"})
    land_table(frame.iloc[::-1], specification)
    found = compared(store, trained(store, "v2"))
    assert found.evidence is not None
    assert (found.evidence.units, found.evidence.left_out) == (0, 600)
    assert found.verdict == "cannot tell" and found.evidence.needed == 20


def test_groups_of_another_column_cannot_be_compared(store: Store, land_table: Land) -> None:
    """No region has the name of a farm, but each has rows of farms that were trained on."""
    regions = np.random.default_rng(0).integers(0, 80, 1200)
    frame = farms().assign(region=[f"region {number}" for number in regions])
    land_table(frame, by_farm())
    promote(store, trained(store), [])
    land_table(frame, by_farm(column="region"))
    found = compared(store, trained(store, "v2"))
    assert found.verdict == "cannot tell"
    assert "fields@v2 is split by 'region', and the groups of fields@v1 are of 'farm'" in str(found)


def test_blocks_of_a_scene_that_was_renamed_are_left_out(store: Store, land_scenes: Land) -> None:
    specification = model_specification(dataset="scenes")
    land_scenes(scenes_specification(), size=96)
    promote(store, lifecycle(store, specification, recorded=True), [])
    for kind in ("images", "labels"):
        landed = store.workspace.root / "landing" / "scenes" / kind / "a.tif"
        landed.rename(landed.with_name("b.tif"))
    commit(store.workspace, store.registry, scenes_specification())
    found = compared(store, lifecycle(store, specification, "v2", recorded=True, depth=4))
    assert found.evidence is not None
    first, second = (blocks_of_scene(store, version) for version in ("v1", "v2"))
    seen = second["test"] & (first["train"] | first["validation"])
    assert found.evidence.left_out == len(seen) > 0
    assert found.evidence.units == len(second["test"] - seen)


def blocks_of_scene(store: Store, version: str) -> dict[str, set[tuple[int, int]]]:
    """The blocks of 8 px that have samples of each split."""
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("scenes", version))
    parts: tuple[SplitName, ...] = ("train", "validation", "test")
    return {
        part: set(zip(rows["row"] // 8, rows["column"] // 8, strict=True))
        for part, rows in ((part, committed.split(part)) for part in parts)
    }


def farms_of(store: Store, version: str, split: Any) -> list[str]:
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields", version))
    return [str(farm) for farm in committed.split(split)["group"]]


def test_a_model_whose_columns_are_gone_cannot_be_compared(store: Store, land_table: Land) -> None:
    land_table(farms(), by_farm())
    promote(store, trained(store), [])
    land_table(farms().drop(columns="ndvi_03"), by_farm())
    found = compared(store, trained(store, "v2"))
    assert found.verdict == "cannot tell"
    assert re.search(
        "cannot be compared with .* on fields@v2: bands: .* has no ndvi_03", str(found)
    )


def test_patches_are_compared_by_block(store: Store, land_scenes: Land) -> None:
    land_scenes(scenes_specification(), size=96)
    specification = model_specification(dataset="scenes")
    first, second = (lifecycle(store, specification, recorded=True, depth=d) for d in (3, 4))
    promote(store, first, [])
    found = compared(store, second)
    assert found.evidence is not None
    assert (found.evidence.unit, found.evidence.left_out) == ("blocks of 8 px", 0)
    assert found.evidence.units > 20 and found.verdict == "passed"


def test_floors_of_classes_slices_and_costs(store: Store, land_table: Land) -> None:
    land_table(farms(1200, 12), by_farm())
    row = trained(store)
    gates = [
        {"metric": "recall.maize", "min": 0.5},
        {"metric": "recall.mais", "min": 0.5},
        {"metric": "accuracy", "slice": {"farm": 3}, "min": 0.5},
        {"metric": "accuracy", "slice": {"farm": 99}, "min": 0.5},
        {"metric": "accuracy", "slice": {"region": "north"}, "min": 0.5},
        {"metric": "brier", "max": 2},
        {"metric": "size_mb", "max": 100},
        {"metric": "latency_ms", "max": 10_000},
        {"metric": "batch_latency_ms", "max": 0},
    ]
    test = sorted(set(farms_of(store, "v1", "test")), key=int)
    gates[2]["slice"] = {"farm": int(test[0])}
    found = check_gates(store, row, [Gate.model_validate(gate) for gate in gates])
    assert [outcome.passed for outcome in found] == [
        *(True, False, True, False, False, True, True, True, False)
    ]
    assert "there is no class 'mais' in fields@v1: " in str(found[1])
    assert f"accuracy of farm={test[0]} ≥ 0.5: passed" in str(found[2])
    assert "FAILED, not measured (fields@v1 has no slice farm=99 of 10 samples" in str(found[3])
    assert "fields@v1 has no slices by 'region'; it has: farm" in str(found[4])
    assert found[6].value is not None and 0 < found[6].value < 1


def test_what_came_of_gates_is_published_with_the_record(store: Store, land_table: Land) -> None:
    land_table(farms(300, 20), by_farm())
    promote(store, trained(store), [])
    specification = model_specification(gates=[NOT_WORSE, Gate(metric="accuracy", min=0)])
    row = lifecycle(store, specification)
    outcome = Outcome(row.model, row.version)
    do_stage("record", store, specification, row, outcome, Unheard())
    (document,) = published_gates(store, [(row.model, row.version), ("crops", "v1-none")]).values()
    assert document.verdict == "cannot tell" and document.gates == outcome.gates
    assert not outcome.gates_passed
    # what may come after a signature is not signed
    files = store.registry.files(model_owner(row.model, row.version))
    assert any("/gates/" in file.path for file in files)
    assert not any(name.startswith("gates/") for name in signed_files(row, files))


def test_a_model_of_an_earlier_release_has_no_latency(store: Store) -> None:
    found = compared(store, registered(store, "v1-a"), Gate(metric="latency_ms", max=1))
    assert "not measured (it was evaluated by an earlier release; evaluate it again)" in str(found)
