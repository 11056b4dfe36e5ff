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
from mlops_assets.datasets.versions.digest import digest_of_documents
from mlops_assets.datasets.versions.version_document import VersionDocument
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
        files: number of files that belong to the version.
        size: of these, bytes.
        digest: that a version of the declared seed would have; None if it was not asked for.
    """

    dataset: str
    method: str
    of: str
    tables: list[SplitTable]
    notes: list[str]
    files: int
    size: int
    digest: str | None = None


def preview(
    workspace: Workspace,
    registry: Registry,
    specification: DatasetSpecification,
    seeds: Sequence[int],
    identify: bool = False,
) -> Preview:
    """Divide the samples of a landing by each of several seeds.

    Args:
        workspace: of the landing.
        registry: with the files that are known already.
        specification: the dataset as declared.
        seeds: the seeds; the declared one is taken where the method has no use for any.
        identify: whether to find the digest, for which files that were never committed are read.

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
        checksums: dict[str, str] = {}
        if identify or contents.input.kind == "image":
            checksums = _checksums(source, contents)
        if contents.input.kind == "image":  # copies go together, as in a commit
            contents.samples["content"] = contents.samples["path"].map(checksums)
        tables = [
            _table(contents, declared.model_copy(update={"seed": seed}))
            for seed in each("dividing samples", chosen, "seeds")
        ]
        sizes = [source.by_path[path].size for path in contents.files["path"]]
        digest = _digest(contents, specification, checksums, sizes) if identify else None
    return Preview(
        specification.name,
        declared.method,
        contents.input.counted,
        tables,
        contents.notes,
        len(sizes),
        sum(sizes),
        digest,
    )


def _digest(
    contents: Contents,
    specification: DatasetSpecification,
    checksums: dict[str, str],
    sizes: Sequence[int],
) -> str:
    """Return the digest that a commit of these contents gives."""
    files = contents.files
    return digest_of_documents(
        files.assign(sha256=files["path"].map(checksums), size=sizes),
        divided(contents, specification.split),
        VersionDocument.draft(contents, specification),
    )


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
