"""The division of a landing into splits, by several seeds, before anything is published.

It is made as a commit makes it, from the same reading of the landing; nothing is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mlops_assets.datasets.commit.commit import read_landing
from mlops_assets.datasets.quality.findings.balance import absent_classes, landed_counts
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.specification.dataset import SPLITS, DatasetSpecification, Split
from mlops_assets.datasets.splits.assign import SEEDED, divided
from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.progress import each
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace, sha256_of


@dataclass(frozen=True, eq=False)
class SplitTable:
    """The division by one seed.

    Attributes:
        seed: the seed.
        counts: one row a class (one row in all where labels are numbers), one column a split.
        left_out: number of samples in no split.
        absent: split → classes that it lacks.
        empty: splits that should have samples and have none.
        refused: why this division could not be committed or trained on, else null.
    """

    seed: int
    counts: pd.DataFrame
    left_out: int
    absent: dict[str, list[str]]
    empty: list[str]
    refused: str | None

    @property
    def is_complete(self) -> bool:
        """True if every class is in every split."""
        return not self.absent and not self.empty


@dataclass(frozen=True)
class Preview:
    """The division of a landing by several seeds.

    Attributes:
        dataset: the dataset.
        method: how it is split.
        of: what is counted, `samples` or `labelled pixels`.
        tables: one a seed; a single one where the method has no use for a seed.
        notes: remarks on the landing, for people.
    """

    dataset: str
    method: str
    of: str
    tables: list[SplitTable]
    notes: list[str]


def preview(
    workspace: Workspace,
    registry: Registry,
    specification: DatasetSpecification,
    seeds: Sequence[int],
) -> Preview:
    """Divide the samples of a landing by each of several seeds.

    Args:
        workspace: of the landing.
        registry: with the files that are known already.
        specification: the dataset as declared.
        seeds: the seeds; the declared one is taken where the method has no use for any.

    Raises:
        EmptyLanding: nothing has landed.
        DataProblems: the data cannot be used; all problems found are listed.
        SpecificationError: the split cannot work with this data, whatever the seed.
        StorageError: the landing could not be read.
        Conflict: another process is committing the same dataset and does not end.
    """
    declared = specification.split
    chosen = seeds if declared.method in SEEDED else [declared.seed]
    with (
        registry.lock(specification.name),
        read_landing(workspace, registry, specification) as (source, contents),
    ):
        if contents.input.kind == "image":  # copies go together, as in a commit
            contents.samples["content"] = contents.samples["path"].map(_checksums(source, contents))
        tables = [
            _table(contents, declared.model_copy(update={"seed": seed}))
            for seed in each("dividing samples", chosen, "seeds")
        ]
    of = contents.input.counted
    return Preview(specification.name, declared.method, of, tables, contents.notes)


def _table(contents: Contents, split: Split) -> SplitTable:
    samples = divided(contents, split)
    splits = samples["split"]
    sizes = {name: int((splits == name).sum()) for name in SPLITS}
    if contents.classes is None:
        counts = pd.DataFrame([sizes], index=pd.Index(["all"], name="class"))
    else:
        counts = landed_counts(samples, contents.classes, contents.pixels)
    expected = [
        name
        for name in SPLITS
        if split.method == "column" or split.fractions.get(name)  # type: ignore[call-overload]
    ]
    empty = [name for name in expected if not sizes[name]]
    if split.method == "column":
        empty = [name for name in empty if name != "validation"]  # which a column need not have
    absent = absent_classes(counts)
    refused = _refused(absent, empty, contents.input.kind)
    return SplitTable(split.seed, counts, int(splits.isna().sum()), absent, empty, refused)


def _refused(absent: dict[str, list[str]], empty: list[str], kind: str) -> str | None:
    """Return why a commit refuses a division.

    A class of windows that is not in training stops the training.
    """
    lacking = [name for name in ("train", "test") if name in empty]
    if lacking:
        return f"a commit is refused: no sample in {' and '.join(lacking)}"
    if "train" not in absent:
        return None
    stopped = "training is stopped" if kind == "window" else "a commit is refused"
    return f"{stopped}: nothing of {', '.join(absent['train'])} in train"


def _checksums(source: Landed, contents: Contents) -> dict[str, str]:
    files = [source.by_path[path] for path in contents.files["path"]]
    return {
        file.path: source.known_sha256(file.path) or sha256_of(source.local(file))
        for file in each("hashing", files, "files")
    }
