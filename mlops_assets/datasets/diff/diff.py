"""The differences between two data versions: files, samples, classes, features, distributions.

Samples are matched in `match_samples`, distributions are compared in `distribution_shift`;
printing is left to the command.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from mlops_assets.datasets.diff.distribution_shift import (
    ClassBalance,
    DeclarationChange,
    FeatureShift,
    NumberShift,
    class_balance,
    declaration_changes,
    feature_shifts,
    number_shifts,
)
from mlops_assets.datasets.diff.match_samples import among, match_samples
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.contents import ClassName
from mlops_assets.registry import Registry


@dataclass(frozen=True, eq=False)
class FileChanges:
    """Files of two data versions, matched by path and checksum.

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

    Samples of a renamed file are matched with those of the same file.

    Rows of tables that have changed are matched by their features, as their numbers shift when a
    row is taken out.

    Attributes:
        added: path, row, column, label, split.
        removed: path, row, column, label, split.
        relabelled: path, row, column, before, after (labels), split.
        moved: path, row, column, label, before, after (splits; null is left out).
        rewritten: in both, but the bytes of their file have changed (unknown for
            tables, where samples are matched by row).
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


@dataclass(frozen=True)
class RenamedClass:
    """A class value with another name."""

    value: str
    before: str
    after: str


@dataclass(frozen=True)
class ClassChanges:
    """Classes of two data versions, matched by value."""

    added: list[ClassName]
    removed: list[ClassName]
    renamed: list[RenamedClass]


@dataclass(frozen=True)
class FeatureChanges:
    """Features or bands of two data versions, matched by name.

    Attributes:
        added, removed: names.
        reordered: whether the features of both versions are in another order.
    """

    added: list[str]
    removed: list[str]
    reordered: bool


@dataclass(frozen=True, eq=False)
class VersionDiff:
    """The differences between two data versions.

    Attributes:
        before: `dataset@version` and digest.
        after: the same of the other version.
        files: files added, removed, changed and renamed.
        samples: samples added, removed, relabelled and moved between splits.
        classes: classes added, removed and renamed.
        features: features or bands added, removed and reordered.
        balance: class counts of each split; empty where labels are numbers, and for windows without
            a quality report.
        numbers: mean and standard deviation of number labels of each split.
        shifts: mean and standard deviation of each feature or band in training.
        declaration: changed settings of the declaration.
    """

    before: dict[str, str]
    after: dict[str, str]
    files: FileChanges
    samples: SampleChanges
    classes: ClassChanges
    features: FeatureChanges
    balance: list[ClassBalance]
    numbers: list[NumberShift]
    shifts: list[FeatureShift]
    declaration: list[DeclarationChange]

    @property
    def same(self) -> bool:
        """Whether both are the same content."""
        return self.before["digest"] == self.after["digest"]

    def document(self) -> dict[str, object]:
        """Return all differences as a JSON document."""
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
            "classes": asdict(self.classes),
            "features": asdict(self.features),
            "class_balance": [dict(vars(balance)) for balance in self.balance],
            "label_numbers": [dict(vars(shift)) for shift in self.numbers],
            "feature_shifts": [dict(vars(shift)) for shift in self.shifts],
            "declaration": [asdict(change) for change in self.declaration],
        }


def difference(
    registry: Registry,
    before: CommittedDataset,
    after: CommittedDataset,
    published_only: bool = False,
) -> VersionDiff:
    """Compare two data versions, of one dataset or of two.

    Args:
        registry: has them.
        before: one of them.
        after: the other.
        published_only: whether to leave out shifts of features whose statistics are not published,
            for which all samples would have to be read.

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
        shifts=feature_shifts(registry, before, after, published_only),
        declaration=declaration_changes(
            before.document.specification, after.document.specification
        ),
    )


def file_changes(before: pd.DataFrame, after: pd.DataFrame) -> FileChanges:
    """Compare two manifests.

    Several files with the same bytes are paired in the order of their paths.
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


def _class_changes(before: CommittedDataset, after: CommittedDataset) -> ClassChanges:
    old, new = (
        {str(entry["value"]): entry["name"] for entry in committed.classes or []}
        for committed in (before, after)
    )
    return ClassChanges(
        added=[ClassName(value=value, name=new[value]) for value in new if value not in old],
        removed=[ClassName(value=value, name=old[value]) for value in old if value not in new],
        renamed=[
            RenamedClass(value, old[value], name)
            for value, name in new.items()
            if old.get(value, name) != name
        ],
    )


def _feature_changes(before: list[str], after: list[str]) -> FeatureChanges:
    old, new = set(before), set(after)
    return FeatureChanges(
        added=[name for name in after if name not in old],
        removed=[name for name in before if name not in new],
        reordered=(
            [name for name in before if name in new] != [name for name in after if name in old]
        ),
    )


def _rows(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Return rows for JSON, with null for missing values."""
    plain = {
        str(name): column.astype(object).where(column.notna(), None).tolist()
        for name, column in frame.items()
    }
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
