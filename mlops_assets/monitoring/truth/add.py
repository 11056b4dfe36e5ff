"""Labels added to the requests they are of: all of a table, or none of it.

The same again changes nothing; another label of a sample corrects the one before, which is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.monitoring.truth.classes import match_labels
from mlops_assets.monitoring.truth.label_table import MAX_NAMED, NO_ROW, LabelTable, refuse
from mlops_assets.monitoring.truth.requests import samples_of
from mlops_assets.monitoring.truth.stored import (
    COLUMNS,
    SAMPLE,
    SLICE,
    newest,
    parquet_of,
    read_history,
)
from mlops_assets.names import Reference, check_name
from mlops_assets.paths import truth_key, truth_owner
from mlops_assets.principals import Role
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.session import now, record_files
from mlops_assets.store import Store


@dataclass(frozen=True)
class TruthReport:
    """The labels that were added.

    Attributes:
        model: name of the model.
        added: samples that had no label.
        corrected: samples whose label was another one.
        described: samples whose label is the same, with other slices or another time.
        unchanged: samples that have just this label already.
        unknown: labels whose request is not in the log.
        unknown_ids: the first of their ids.
        days: of the requests → samples that were added, corrected or described.
    """

    model: str
    added: int = 0
    corrected: int = 0
    described: int = 0
    unchanged: int = 0
    unknown: int = 0
    unknown_ids: tuple[str, ...] = ()
    days: dict[str, int] = field(default_factory=dict)


def add_truth(store: Store, model: str, table: LabelTable, day: str | None = None) -> TruthReport:
    """Add labels to the logged requests of a model.

    A label is of the sample `row` of the request `id`; without a row, of its only sample. Labels of
    requests that are not in the log are counted, and not kept.

    Args:
        store: workspace and registry.
        model: name of the model.
        table: the labels.
        day: of the requests, `YYYY-MM-DD`, UTC, where ids are used again on other days; every
            logged day if None.

    Raises:
        Conflict: another process adds labels and does not end.
        Forbidden: the principal is not a scientist.
        NotFound: there is no such model.
        TruthRefused: a label is not valid, or it is not clear what it is of; none was added.
    """
    store.registry.principal.require(Role.SCIENTIST, "add labels of requests")
    store.registry.model_version(Reference(check_name(model, "model")))
    found = samples_of(store, model, set(table.ids), day)
    labels = _matched(store, model, table, found)
    with store.registry.lock(f"labels of {model}"):
        return _publish(store, model, labels)


@dataclass(frozen=True)
class _Labels:
    """Labels of samples, one a sample, with columns as they are stored and `day`; and the rest."""

    table: pd.DataFrame
    unknown: NDArray[np.object_]


def _matched(store: Store, model: str, table: LabelTable, found: pd.DataFrame) -> _Labels:
    """Return labels with the samples that they are of.

    Raises:
        TruthRefused: one is not valid or not clear.
    """
    requests = found.groupby("id").agg(
        samples=("row", "nunique"),
        first=("row", "min"),
        last=("row", "max"),
        days=("day", "nunique"),
        day=("day", "min"),
        other=("day", "max"),
    )
    own = requests.index.get_indexer(pd.Index(table.ids))
    known = own >= 0
    if not known.any():
        return _Labels(pd.DataFrame(columns=["day"]), table.ids)
    of = requests.take(own[known])
    positions: list[int] = np.flatnonzero(known).tolist()
    rows = table.rows[known].copy()
    alone = of["samples"].to_numpy() == 1
    lone = rows == NO_ROW
    rows[lone & alone] = of["first"].to_numpy()[lone & alone]
    labelled = pd.DataFrame(
        {"position": np.array(positions, np.int64), "id": table.ids[known], "row": rows}
    )
    labelled["day"] = of["day"].to_numpy()
    problems = [
        f"{table.place(position)}: requests of {first} and of {last} have this id; name the day"
        for position, first, last, days in zip(
            positions, of["day"], of["other"], of["days"], strict=True
        )
        if days > 1
    ]
    problems += [
        f"{table.place(position)}: the request has {count} samples; name one of them in the column"
        " 'row', counted from 0"
        for position, count, unclear in zip(positions, of["samples"], lone & ~alone, strict=True)
        if unclear
    ]
    clear = labelled[labelled["row"] != NO_ROW].merge(
        found.drop(columns="day").drop_duplicates(), how="left", on=SAMPLE
    )
    problems += [
        f"{table.place(position)}: the request has no such sample; the last is {last}"
        for position, last in zip(
            clear.loc[clear["version"].isna(), "position"],
            requests["last"].reindex(clear.loc[clear["version"].isna(), "id"]),
            strict=True,
        )
    ]
    clear = clear[clear["version"].notna()]
    names, numbers, wrong = _understood(store, model, table, clear)
    problems += wrong
    labelled["label"] = names[positions]
    labelled["number"] = numbers[positions]
    problems += _contradictions(table, labelled)
    refuse(table.source, problems)
    # of equal labels of a sample in one table
    labelled = labelled.drop_duplicates(SAMPLE, keep="last")
    kept = labelled["position"].to_numpy()
    labelled["time"] = pd.Series(table.times[kept], index=labelled.index).dt.tz_localize("UTC")
    for name, values in table.slices.items():
        labelled[f"{SLICE}{name}"] = pd.Series(values[kept], labelled.index, dtype="str")
    return _Labels(labelled.drop(columns="position"), table.ids[~known])


def _understood(
    store: Store, model: str, table: LabelTable, clear: pd.DataFrame
) -> tuple[NDArray[np.object_], NDArray[np.float64], list[str]]:
    """Return names and numbers of all labels, and the problems of those that no version knows.

    Args:
        store: workspace and registry.
        model: name of the model.
        table: the labels.
        clear: `position` of a label and `version` that has predicted its sample; of several
            versions, if it is known to one of them.
    """
    names = np.full(len(table), None, dtype=object)
    numbers = np.full(len(table), np.nan)
    expected = np.full(len(table), "", dtype=object)
    understood = np.zeros(len(table), dtype=bool)
    for version, own in clear.groupby("version", sort=True):
        row = store.registry.model_version(Reference(model, str(version)))
        matched = match_labels(row, table)
        positions = own["position"].to_numpy()
        expected[positions] = matched.expected
        fits = positions[matched.known[positions]]
        names[fits], numbers[fits] = matched.names[fits], matched.numbers[fits]
        understood[fits] = True
    wrong = sorted(set(clear["position"]) - set(np.flatnonzero(understood)))
    problems = [
        f"{table.place(position)}: {table.labels[position]!r} is not one of {expected[position]}"
        for position in wrong
    ]
    return names, numbers, problems


def _contradictions(table: LabelTable, labelled: pd.DataFrame) -> list[str]:
    """Return the problems of samples that have two labels in one table."""
    clear = labelled[labelled["row"] != NO_ROW]
    different = clear.drop_duplicates([*SAMPLE, "label", "number"])
    again = different[different.duplicated(SAMPLE)]
    first = different.drop_duplicates(SAMPLE).set_index(SAMPLE)["position"]
    return [
        f"{table.place(position)}: it is {table.labels[position]!r} here, and"
        f" {table.labels[first[sample, row]]!r} in label {first[sample, row] + 1}"
        for position, sample, row in zip(again["position"], again["id"], again["row"], strict=True)
    ]


def _publish(store: Store, model: str, labels: _Labels) -> TruthReport:
    """Publish what is new in all days at once, and report it."""
    unknown = tuple(dict.fromkeys(labels.unknown))[:MAX_NAMED]
    contents: dict[str, bytes | Path] = {}
    days: dict[str, int] = {}
    counts = dict.fromkeys(("added", "corrected", "described", "unchanged"), 0)
    added = pd.Timestamp(now())
    for day, own in labels.table.groupby("day", sort=True):
        history = read_history(store, model, str(day))
        fresh = _new_labels(newest(history), own.drop(columns="day"), counts)
        if len(fresh):
            fresh = fresh.assign(added=added, added_by=store.user)
            contents[truth_key(model, str(day))] = parquet_of(_joined(history, fresh))
            days[str(day)] = len(fresh)
    if contents:
        with publication(store.workspace, store.registry) as publishing:
            publishing.put_all(contents)
            publish = store.registry.transaction(f"add labels of {model}", Role.SCIENTIST)
            with publish as session:
                for day, file in zip(days, publishing.files, strict=True):
                    record_files(session, truth_owner(model, day), [file])
    return TruthReport(model, **counts, unknown=len(labels.unknown), unknown_ids=unknown, days=days)


def _new_labels(
    current: pd.DataFrame, labels: pd.DataFrame, counts: dict[str, int]
) -> pd.DataFrame:
    """Return the labels that differ from the current ones, and count all.

    A slice or a time that is not given again stays as it is.

    Args:
        current: newest labels of the samples of a day.
        labels: of samples of that day, one a sample.
        counts: are added to.
    """
    columns = [name for name in labels.columns if name not in SAMPLE]
    before = labels[SAMPLE].merge(
        current.reindex(columns=[*current.columns, *(set(columns) - set(current.columns))]),
        how="left",
        on=SAMPLE,
        indicator="there",
    )
    before.index = labels.index
    is_new = before["there"].eq("left_only").to_numpy()
    changed = np.zeros(len(labels), dtype=bool)
    other = np.zeros(len(labels), dtype=bool)
    whole = labels.copy()
    for name in columns:
        given = labels[name].notna().to_numpy(bool)
        same = labels[name].astype(object).to_numpy() == before[name].astype(object).to_numpy()
        differs = given & ~np.asarray(same, dtype=bool)
        if name in ("label", "number"):
            changed |= differs
        else:
            other |= differs
            whole[name] = labels[name].where(given, before[name].astype(labels[name].dtype))
    for name in set(current.columns) - set(labels.columns) - {"added", "added_by"}:
        whole[name] = before[name]
    counts["added"] += int(is_new.sum())
    counts["corrected"] += int((changed & ~is_new).sum())
    counts["described"] += int((other & ~changed & ~is_new).sum())
    fresh = is_new | changed | other
    counts["unchanged"] += int((~fresh).sum())
    return whole[fresh]


def _joined(history: pd.DataFrame, fresh: pd.DataFrame) -> pd.DataFrame:
    slices: Sequence[str] = sorted(
        {name for name in (*history.columns, *fresh.columns) if name.startswith(SLICE)}
    )
    kinds = COLUMNS | dict.fromkeys(slices, "str")
    parts = [
        part.reindex(columns=list(kinds)).astype(kinds) for part in (history, fresh) if len(part)
    ]
    return pd.concat(parts, ignore_index=True)
