"""The content of `version.json`, which describes one data version.

`documents` reads and checks the file; `summarise` computes the summary.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.contents import ClassName, Contents, DescribedScenes
from mlops_assets.datasets.versions.sample_shape import SampleShape
from mlops_assets.text.json_values import JsonObject


class _Stored(BaseModel):
    """A part of the document: immutable; keys of later releases are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")


class ClassCounts(_Stored):
    """The number of samples of one class in each split; of windows the number of labelled pixels.

    Attributes:
        value: the class in the data.
        name: its name.
        train, validation, test: in the split; None for windows that an earlier release committed.
        left_out: in no split.
    """

    value: int | str
    name: str
    train: int | None
    validation: int | None
    test: int | None
    left_out: int | None


class VersionSummary(_Stored):
    """Place, time and class counts of a data version.

    Attributes:
        crs: coordinate reference systems of its files, as `AUTHORITY:CODE` or WKT2.
        bbox: west, south, east, north in degrees, or None.
        interval: first and last time, ISO 8601, each None if open; None if unknown.
        kept_by_reference: number of files that are not copied into the workspace.
        classes: samples or pixels of each class; empty where the label is a number.
    """

    crs: list[str]
    bbox: list[float] | None
    interval: list[str | None] | None
    kept_by_reference: int
    classes: list[ClassCounts]


class InputVersion(_Stored):
    """A data version that another one was made from."""

    dataset: str
    version: str
    digest: str

    @property
    def reference(self) -> str:
        """`dataset@version`."""
        return f"{self.dataset}@{self.version}"


class Processing(_Stored):
    """The making of a data version from others; part of its identity, but for `code`.

    Attributes:
        inputs: the data versions it was made from, in the order of the function's inputs.
        function: `package.module:function`.
        source: sha256 of the Python files of the function's package, and of the release.
        parameters: of the function.
        code: `commit` of the function's repository, and the sha256 of the object with its
            uncommitted changes, `diff`; empty without a repository.
    """

    inputs: list[InputVersion]
    function: str
    source: str
    parameters: dict[str, JsonValue]
    code: dict[str, str] = {}

    @property
    def code_version(self) -> str:
        """Commit and `+dirty` where there are uncommitted changes; else the digest of the code."""
        if "commit" not in self.code:
            return f"source.{self.source[:12]}"
        return self.code["commit"] + ("+dirty" if "diff" in self.code else "")

    def identity(self) -> JsonObject:
        """Return what makes the version another one, whatever the function has written."""
        return self.model_dump(mode="json", exclude={"code"})


class Origin(_Stored):
    """The commit that the files of a data version were imported from; no part of its identity.

    Attributes:
        repository: URL of the Git repository.
        commit: hash of the commit.
        path: that was imported; None for the whole repository.
        authored: when the commit was written, ISO 8601.
        message: of the commit.
    """

    repository: str
    commit: str
    path: str | None
    authored: str
    message: str

    @property
    def reference(self) -> str:
        """Repository, commit and path, for people."""
        return f"{self.repository}@{self.commit}" + (f" {self.path}" if self.path else "")


class SharedVersion(_Stored):
    """The data version of another workspace whose bytes a data version uses; not in its identity.

    Attributes:
        workspace: URL of the other workspace.
        record: URL of the version's Collection there.
        dataset: name of the dataset there.
        version: its version there.
    """

    workspace: str
    record: str
    dataset: str
    version: str


class VersionDocument(_Stored):
    """The content of `version.json`. Fields with a default are missing in earlier releases.

    Attributes:
        dataset: name of the dataset.
        version: `v1`, `v2` and so on.
        digest: sha256 of the canonical manifest.
        created: time of the commit, ISO 8601 in UTC.
        created_by: principal that committed.
        specification: the declaration as committed, by the release that committed it.
        classes: in the order of class indices; None where the label is a number.
        features: names of features or bands, in order.
        input: shape of one sample.
        notes: remarks for people.
        labels: first image of a scene → its label file, where the manifest cannot state it.
        described: platform and bands by STAC Items.
        summary: place, time and class counts.
        processing: how it was made from other data versions; None where its files have landed.
        origin: what its files were imported from; None where they have landed or were made.
        shared: the data version of another workspace that has the bytes; None of its own.
    """

    dataset: str
    version: str
    digest: str
    created: str | None = None
    created_by: str | None = None
    specification: dict[str, JsonValue]
    classes: list[ClassName] | None
    features: list[str]
    input: SampleShape
    notes: list[str] = []
    labels: dict[str, str] = {}
    described: list[DescribedScenes] = []
    summary: VersionSummary | None = None
    processing: Processing | None = Field(default=None, exclude_if=lambda found: found is None)
    origin: Origin | None = Field(default=None, exclude_if=lambda found: found is None)
    shared: SharedVersion | None = Field(default=None, exclude_if=lambda found: found is None)

    @classmethod
    def draft(cls, contents: Contents, specification: DatasetSpecification) -> Self:
        """Describe landed contents that have no version, digest and time of commit yet."""
        return cls(
            dataset=specification.name,
            version="",
            digest="",
            specification=specification.committed(),
            classes=contents.classes,
            features=contents.features,
            input=contents.input,
            notes=contents.notes,
            labels=contents.labels,
            described=contents.described,
        )

    def content(self) -> JsonObject:
        """Return the document as it is stored."""
        return self.model_dump(mode="json")
