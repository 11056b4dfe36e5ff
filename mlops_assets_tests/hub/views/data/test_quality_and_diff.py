"""Outcomes of checks, values of bands, differences and code, of versions assessed and not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.quality.assessment import assess
from mlops_assets.datasets.specification.dataset import QualityThresholds
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import IntegrityError, NotFound
from mlops_assets.hub.views.data.diff import diff_rows, version_diff
from mlops_assets.hub.views.data.quality import bands, figure_bytes, quality
from mlops_assets.hub.views.data.snippets import snippets
from mlops_assets.hub.views.data.version import data_version
from mlops_assets.names import Reference
from mlops_assets.processing.declared_datasets import NO_DATASETS
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.hub.views.data.declared import declaring

FIELDS = Reference("fields", "v1")


def assessed(store: Store, reference: Reference) -> None:
    assess(store.registry, CommittedDataset.open(store.workspace, store.registry, reference))


def test_checks_are_judged_by_what_is_declared_now_and_say_where_they_cannot(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    with pytest.raises(NotFound, match="mlops dataset assess fields@v1"):
        quality(store, NO_DATASETS, FIELDS)
    assert data_version(store, NO_DATASETS, FIELDS).quality.state == "not assessed"
    assessed(store, FIELDS)
    found = quality(store, NO_DATASETS, FIELDS)
    outcomes = {check.name: check.outcome for check in found.checks}
    # a first version of a table without places
    assert outcomes["shift"] == outcomes["distance_between_splits"] == "cannot tell"
    assert outcomes["readable"] == "passed" and found.state.unknown >= 2
    strict = declaring(table_specification(quality=QualityThresholds(max_imbalance=1).model_dump()))
    judged = quality(store, strict, FIELDS)
    assert {check.name: check.outcome for check in judged.checks}["class_balance"] == "failed"
    assert judged.state.state == "warning"
    values = bands(store, FIELDS, first=2, limit=2)
    assert [band.name for band in values.bands] == ["ndvi_01", "ndvi_02"]
    assert (values.total, values.first, values.split) == (7, 2, "train")
    json.dumps(asdict(found), allow_nan=False)
    assert figure_bytes(store, FIELDS, found.figures[0]).startswith(b"\x89PNG")
    with pytest.raises(NotFound, match="no figure 'other'"):
        figure_bytes(store, FIELDS, "other")


def test_a_damaged_report_is_no_verdict(store: Store, land_table: Callable[..., Commit]) -> None:
    land_table(crops_table(61))
    v2 = Reference("fields", "v2")
    assessed(store, v2)
    path = store.workspace.root / "datasets/fields/v2/quality.json"
    path.chmod(0o644)
    path.write_text("{}")
    assert data_version(store, NO_DATASETS, v2).quality.state == "unreadable"
    with pytest.raises(IntegrityError):
        quality(store, NO_DATASETS, v2)


def test_a_diff_reads_no_sample_and_pages_its_lists(
    store: Store, land_table: Callable[..., Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = crops_table(40)
    specification = table_specification(classes={"wheat": "Wheat", "maize": "Maize", "fallow": "–"})
    land_table(frame, specification)
    frame.loc[0, "crop"] = "maize" if frame.loc[0, "crop"] != "maize" else "wheat"
    land_table(frame.drop(index=[5, 6, 7]), specification)
    monkeypatch.setattr("mlops_assets.datasets.diff.distribution_shift.scan", None)
    v2, v3 = (Reference("fields", version) for version in ("v2", "v3"))
    found = version_diff(store, v2, v3)
    assert not found.same and found.shifts == []
    assert "mlops dataset assess fields@v2; mlops dataset assess fields@v3" in found.not_compared
    assert found.counts["files changed"] == 1 and found.counts["samples removed"] == 3
    removed = diff_rows(store, v2, v3, "samples removed", page=2, rows=2)
    assert (removed.total, len(removed.rows)) == (3, 1)
    names = dict(zip(removed.columns, removed.rows[0], strict=True))
    assert names["label"] in ("Wheat", "Maize", "–") and isinstance(names["row"], int)
    (relabelled,) = diff_rows(store, v2, v3, "samples relabelled").rows
    assert "Maize" in relabelled
    json.dumps([asdict(found), asdict(removed)], allow_nan=False)
    assert version_diff(store, v2, v2).same


def test_code_is_valid_python_whatever_the_workspace_is_called(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    for signed_in in (False, True):
        found = {
            each.label: each.code for each in snippets(store, FIELDS, 'http://h"x/', signed_in)
        }
        for label in ("Python", "pystac-client", "GeoPandas", "DuckDB"):
            compile(found[label], label, "exec")
        assert ("MLOPS_API_TOKEN" in found["pystac-client"]) == signed_in
    assert "fields@v1" in found["mlops"] and 'task="classification"' in found["Python"]
