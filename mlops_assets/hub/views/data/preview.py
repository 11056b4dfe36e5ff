"""The split that a commit would make, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlops_assets.datasets.splits.preview import Preview, SplitTable, preview
from mlops_assets.errors import DataProblems, EmptyLanding, Forbidden, SpecificationError
from mlops_assets.hub.views.data.landing import landing_fingerprint
from mlops_assets.principals import Role
from mlops_assets.processing.declared_datasets import DeclaredDatasets
from mlops_assets.store import Store

MAX_SEEDS = 100


@dataclass(frozen=True)
class ClassPreview:
    """The samples, or labelled pixels, of one class in each split."""

    name: str
    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class SeedPreview:
    """The division by one seed.

    Attributes:
        seed: the seed.
        declared: whether a commit divides so.
        classes: counts of each; one row, `all`, where labels are numbers.
        left_out: samples in no split.
        absent: split → classes that it lacks.
        empty: splits that should have samples and have none.
        refused: why this division could not be committed or trained on; None if it could.
        complete: whether every class is in every split.
    """

    seed: int
    declared: bool
    classes: list[ClassPreview]
    left_out: int
    absent: dict[str, list[str]]
    empty: list[str]
    refused: str | None
    complete: bool


@dataclass(frozen=True)
class CommitPreview:
    """What a commit of the landing would publish.

    Attributes:
        dataset: the dataset.
        fingerprint: of the landing that was read; empty without files.
        files: number of files that would belong to the version.
        size: of these, bytes.
        digest: of the version; None if there are problems.
        unchanged: the version that has this content already; None if it would be a new one.
        method: how samples are divided.
        counted: what is counted, `samples` or `labelled pixels`.
        seeds: the division by each seed; one where the method uses none.
        notes: remarks on the landing.
        problems: what keeps it from being committed; then there is no division.
    """

    dataset: str
    fingerprint: str
    files: int
    size: int
    digest: str | None
    unchanged: str | None
    method: str
    counted: str
    seeds: list[SeedPreview]
    notes: list[str]
    problems: list[str]


def commit_preview(
    store: Store, declared: DeclaredDatasets, name: str, seeds: Sequence[int] = ()
) -> CommitPreview:
    """Return what a commit would publish; nothing is written.

    Every file that was not committed before is read.

    Args:
        store: workspace and registry.
        declared: has the declaration.
        name: of the dataset.
        seeds: further seeds to divide by, beside the declared one.

    Raises:
        Conflict: the dataset is being committed, and that does not end.
        Forbidden: the principal may not commit.
        NotFound: the dataset is not declared.
        SpecificationError: it is made from other data, or declared wrongly.
        StorageError: the landing cannot be read.
    """
    store.registry.principal.require(Role.SCIENTIST, "preview a commit")
    specification = declared.with_landing(name)
    own = specification.split.seed
    try:
        state = landing_fingerprint(store, declared, name)
        found = preview(
            store.workspace, store.registry, specification, sorted({own, *seeds}), identify=True
        )
    except DataProblems as error:
        return _refused(name, error.problems)
    except (EmptyLanding, SpecificationError) as error:
        return _refused(name, [str(error)])
    return CommitPreview(
        dataset=name,
        fingerprint=state,
        files=found.files,
        size=found.size,
        digest=found.digest,
        unchanged=_version_with(store, found),
        method=found.method,
        counted=found.of,
        seeds=[_seed(table, own) for table in found.tables],
        notes=found.notes,
        problems=[],
    )


def _version_with(store: Store, found: Preview) -> str | None:
    if found.digest is None:
        return None
    try:
        row = store.registry.data_version_with(found.dataset, found.digest)
    except Forbidden:
        return "a version that you may not see"
    return None if row is None else row.version


def _seed(table: SplitTable, declared: int) -> SeedPreview:
    counts = table.counts.reindex(columns=["train", "validation", "test"], fill_value=0)
    return SeedPreview(
        seed=table.seed,
        declared=table.seed == declared,
        classes=[
            ClassPreview(str(name), *map(int, row))
            for name, row in zip(counts.index, counts.to_numpy().tolist(), strict=True)
        ],
        left_out=table.left_out,
        absent=table.absent,
        empty=table.empty,
        refused=table.refused,
        complete=table.is_complete,
    )


def _refused(name: str, problems: list[str]) -> CommitPreview:
    return CommitPreview(name, "", 0, 0, None, None, "", "", [], [], problems)
