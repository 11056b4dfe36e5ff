"""The differences between two data versions.

They are of files and samples, and with them of everything else that has shifted.

How samples are matched is in `match_samples`, how distributions are compared in
`distribution_shift`; nothing here prints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.datasets.diff.distribution_shift import (
    ClassBalance,
    FeatureShift,
    NumberShift,
    class_balance,
    declaration_changes,
    feature_shifts,
    number_shifts,
)
from mlops_assets.datasets.diff.match_samples import among, match_samples
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.registry import Registry


@dataclass(frozen=True, eq=False)
class FileChanges:
    """Files of two data versions, told apart by path and checksum.

    Attributes:
        added: path, sha256, size.
        removed: path, sha256, size.
        changed: the same path with other bytes: path, sha256_before, sha256, size_before, size.
        renamed: the same bytes under another path: before, path, sha256, size.
        unchanged: how many are the same.
    """

    added: pd.DataFrame
    removed: pd.DataFrame
    changed: pd.DataFrame
    renamed: pd.DataFrame
    unchanged: int


@dataclass(frozen=True, eq=False)
class SampleChanges:
    """Samples of two data versions, matched by file, row and column.

    Those of renamed files go with their file.

    Rows of tables that have changed are matched by their features, as their numbers shift when a
    row is taken out.

    Attributes:
        added: path, row, column, label, split.
        removed: path, row, column, label, split.
        relabelled: path, row, column, before, after (labels), split.
        moved: path, row, column, label, before, after (splits; null is left out).
        rewritten: in both, but the bytes of their file have changed (not known of tables, where
            they are told by row).
        unchanged: in both, with the same label and split.
    """

    added: pd.DataFrame
    removed: pd.DataFrame
    relabelled: pd.DataFrame
    moved: pd.DataFrame
    rewritten: int
    unchanged: int

    @property
    def moves(self) -> pd.DataFrame:
        """Number of samples that moved between each two splits: before, after, samples."""
        counted = self.moved.groupby(["before", "after"], dropna=False).size()
        return counted.rename("samples").reset_index()


@dataclass(frozen=True, eq=False)
class VersionDiff:
    """The differences between two data versions.

    Attributes:
        before: `dataset@version` and digest.
        after: the same of the other version.
        files: files added, removed, changed and renamed.
        samples: samples added, removed, relabelled and moved between splits.
        classes: values of classes `added`, `removed`, and `renamed` (value, before, after).
        features: names `added` and `removed`, and whether the rest is `reordered`.
        balance: class counts of each split; empty where labels are numbers, and for windows without
            a quality report.
        numbers: mean and standard deviation of number labels of each split.
        shifts: mean and standard deviation of each feature or band in training.
        declaration: what was declared otherwise: what, before, after.
    """

    before: dict[str, str]
    after: dict[str, str]
    files: FileChanges
    samples: SampleChanges
    classes: dict[str, list[Any]]
    features: dict[str, Any]
    balance: list[ClassBalance]
    numbers: list[NumberShift]
    shifts: list[FeatureShift]
    declaration: list[dict[str, Any]]

    @property
    def same(self) -> bool:
        """Whether both are the same content."""
        return self.before["digest"] == self.after["digest"]

    def document(self) -> dict[str, Any]:
        """Return everything, uncut, as what JSON can say."""
        files, samples = self.files, self.samples
        return {
            "before": self.before,
            "after": self.after,
            "same": self.same,
            "files": {
                **{
                    name: _rows(getattr(files, name))
                    for name in ("added", "removed", "changed", "renamed")
                },
                "unchanged": files.unchanged,
            },
            "samples": {
                **{
                    name: _rows(getattr(samples, name))
                    for name in ("added", "removed", "relabelled", "moved")
                },
                "moves": _rows(samples.moves),
                "rewritten": samples.rewritten,
                "unchanged": samples.unchanged,
            },
            "classes": self.classes,
            "features": self.features,
            "class_balance": [dict(vars(balance)) for balance in self.balance],
            "label_numbers": [dict(vars(shift)) for shift in self.numbers],
            "feature_shifts": [dict(vars(shift)) for shift in self.shifts],
            "declaration": self.declaration,
        }


def difference(
    registry: Registry, before: CommittedDataset, after: CommittedDataset
) -> VersionDiff:
    """Compare two data versions, of one dataset or of two.

    Raises:
        IntegrityError: a file that has to be read is not as it was committed.
        StorageError: it cannot be read.
    """
    files = file_changes(before.manifest, after.manifest)
    return VersionDiff(
        before={"reference": before.reference, "digest": before.row.digest},
        after={"reference": after.reference, "digest": after.row.digest},
        files=files,
        samples=sample_changes(before, after, files),
        classes=_class_changes(before, after),
        features=_feature_changes(before.document.features, after.document.features),
        balance=class_balance(registry, before, after),
        numbers=number_shifts(before, after),
        shifts=feature_shifts(registry, before, after),
        declaration=declaration_changes(
            before.document.specification, after.document.specification
        ),
    )


def file_changes(before: pd.DataFrame, after: pd.DataFrame) -> FileChanges:
    """Compare two manifests.

    Of several files with the same bytes the first by path is taken for the first.
    """
    columns = ["path", "sha256", "size"]
    at = pd.Index(before["path"]).get_indexer(after["path"])
    was = before.iloc[at[at >= 0]][columns].reset_index(drop=True)
    both = after.loc[at >= 0, columns].reset_index(drop=True)
    same = was["sha256"] == both["sha256"]
    both = both.assign(sha256_before=was["sha256"], size_before=was["size"])
    left = np.ones(len(before), dtype=bool)
    left[at[at >= 0]] = False
    gone, new = _numbered(before.loc[left, columns]), _numbered(after.loc[at < 0, columns])
    renamed = gone.merge(
        new[["path", "sha256", "nth"]], on=["sha256", "nth"], suffixes=("_before", "")
    )
    return FileChanges(
        added=_ordered(new.loc[~among(new["path"], renamed["path"]), columns]),
        removed=_ordered(gone.loc[~among(gone["path"], renamed["path_before"]), columns]),
        changed=_ordered(
            both.loc[~same, ["path", "sha256_before", "sha256", "size_before", "size"]]
        ),
        renamed=_ordered(
            renamed.rename(columns={"path_before": "before"})[["before", "path", "sha256", "size"]]
        ),
        unchanged=int(same.sum()),
    )


def sample_changes(
    before: CommittedDataset, after: CommittedDataset, files: FileChanges
) -> SampleChanges:
    """Compare the samples of two data versions."""
    old, new = before.samples, after.samples
    i, j = match_samples(before, after, files.renamed, files.changed["path"])
    place = ["path", "row", "column"]
    both = new.iloc[j][[*place, "label", "split"]].reset_index(drop=True)
    was = old.iloc[i][["label", "split"]].reset_index(drop=True)
    relabelled, moved = _differs(was["label"], both["label"]), _differs(was["split"], both["split"])
    with_label = both.assign(before=was["label"], after=both["label"])[
        [*place, "before", "after", "split"]
    ]
    with_split = both.assign(before=was["split"], after=both["split"])[
        [*place, "label", "before", "after"]
    ]
    by_row = after.document.input.kind == "row"
    return SampleChanges(
        added=_ordered(new.drop(new.index[j])[[*place, "label", "split"]]),
        removed=_ordered(old.drop(old.index[i])[[*place, "label", "split"]]),
        relabelled=_ordered(with_label[relabelled]),
        moved=_ordered(with_split[moved]),
        rewritten=0 if by_row else int(among(both["path"], files.changed["path"]).sum()),
        unchanged=int((~relabelled & ~moved).sum()),
    )


def _numbered(files: pd.DataFrame) -> pd.DataFrame:
    """Number the files of the same bytes, so that each is paired once."""
    ordered = files.sort_values("path")
    return ordered.assign(nth=ordered.groupby("sha256").cumcount())


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    places = [name for name in ("path", "row", "column") if name in rows]
    return rows.sort_values(places, ignore_index=True)


def _differs(before: pd.Series, after: pd.Series) -> pd.Series:
    """Return where two columns differ; a number and its text are not the same, two nulls are."""
    a, b = before.astype(object), after.astype(object)
    return (a.isna() != b.isna()) | (a.notna() & b.notna() & (a != b))


def _class_changes(before: CommittedDataset, after: CommittedDataset) -> dict[str, list[Any]]:
    old, new = (
        {str(entry["value"]): entry["name"] for entry in committed.classes or []}
        for committed in (before, after)
    )
    return {
        "added": [
            {"value": value, "name": name} for value, name in new.items() if value not in old
        ],
        "removed": [
            {"value": value, "name": name} for value, name in old.items() if value not in new
        ],
        "renamed": [
            {"value": value, "before": old[value], "after": name}
            for value, name in new.items()
            if old.get(value, name) != name
        ],
    }


def _feature_changes(before: list[str], after: list[str]) -> dict[str, Any]:
    old, new = set(before), set(after)
    return {
        "added": [name for name in after if name not in old],
        "removed": [name for name in before if name not in new],
        "reordered": (
            [name for name in before if name in new] != [name for name in after if name in old]
        ),
    }


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON says them: null for what is not there."""
    plain = {
        str(name): column.astype(object).where(column.notna(), None).tolist()
        for name, column in frame.items()
    }
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
