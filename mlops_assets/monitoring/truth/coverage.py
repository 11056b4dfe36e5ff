"""The share of logged samples that have labels, by day and model version."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from mlops_assets.monitoring.truth.requests import days_of, samples_of
from mlops_assets.monitoring.truth.stored import SAMPLE, read_truth
from mlops_assets.names import check_name
from mlops_assets.serving.request_log.day_file import check_day
from mlops_assets.store import Store


@dataclass(frozen=True)
class Coverage:
    """The labels of samples that a model version has predicted on a day.

    Attributes:
        day: `YYYY-MM-DD`, UTC.
        version: of the model; None for labels whose requests are not in the log any more.
        samples: logged.
        labelled: of them, those with a label.
        corrected: labels of the day, of all versions, that were other ones before.
        newest: when the newest label of the day was added, UTC, ISO 8601; None if there is none.
    """

    day: str
    version: str | None
    samples: int
    labelled: int
    corrected: int
    newest: str | None

    @property
    def share(self) -> float | None:
        """Share of the samples with a label; None if none is logged."""
        return self.labelled / self.samples if self.samples else None


def coverage(store: Store, model: str, day: str | None = None) -> list[Coverage]:
    """Return the coverage of a model's logged samples by labels, oldest day first.

    Args:
        store: workspace and registry.
        model: name of the model.
        day: only that day, `YYYY-MM-DD`; all days if None.

    Raises:
        IntegrityError: a file is not as it was published.
        StorageError: it cannot be read.
    """
    check_name(model, "model")
    found = []
    for each in days_of(store, model) if day is None else [check_day(day)]:
        found += _of_day(store, model, each)
    return found


def _of_day(store: Store, model: str, day: str) -> list[Coverage]:
    truth = read_truth(store, model, day)
    logged = samples_of(store, model, day=day)
    corrected = 0 if truth is None else truth.corrected
    newest = None
    if truth is not None:
        newest = f"{pd.Timestamp(truth.added.max()).isoformat(timespec='seconds')}Z"
    labelled = pd.DataFrame(columns=SAMPLE)
    if truth is not None:
        labelled = pd.DataFrame({"id": truth.requests, "row": truth.rows})
    labelled = labelled.astype({"id": "str", "row": "int64"})
    both = logged.merge(labelled, how="left", on=SAMPLE, indicator="there")
    found = [
        Coverage(day, str(version), len(own), int(own["there"].eq("both").sum()), corrected, newest)
        for version, own in both.groupby("version", sort=True)
    ]
    if not found and truth is not None:
        found.append(Coverage(day, None, 0, len(truth), corrected, newest))
    return found
