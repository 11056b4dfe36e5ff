"""Assessing a data version, and finding one check in what comes out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlops_assets.datasets.quality import Check, report
from mlops_assets.datasets.quality.assessment import QualityAssessment, assess
from mlops_assets.datasets.quality.findings import label_noise
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.store import Store

Assess = Callable[..., tuple[CommittedDataset, QualityAssessment]]


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick model of the labels, for tests that do not ask how well wrong ones are found."""
    monkeypatch.setattr(label_noise, "TREES", 10)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report without its figure, which takes longest, for tests that do not need it."""
    monkeypatch.setattr(report, "figures", lambda *_: {"class_counts": b"a picture"})


@pytest.fixture
def assessed(store: Store, few_trees: None) -> Assess:
    """Open the newest version of a dataset and assess it: `assessed(dataset)`."""

    def open_and_assess(dataset: str = "fields") -> tuple[CommittedDataset, QualityAssessment]:
        committed = CommittedDataset.open(store.workspace, store.registry, Reference(dataset))
        return committed, assess(store.registry, committed)

    return open_and_assess


def check(quality: QualityAssessment, name: str) -> Check:
    return next(check for check in quality.checks if check.name == name)


def figure(found: Check, name: str) -> float:
    """A number behind the outcome of a check."""
    value = found.values[name]
    assert isinstance(value, (int, float))
    return value
