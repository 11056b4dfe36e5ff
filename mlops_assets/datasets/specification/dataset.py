"""A user's declaration of a dataset, as strict models.

Every description shows in Dagster's docs.

Only declarations and the rules that need no data; rules that need data are in the layout readers.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mlops_assets.choices import SplitName
from mlops_assets.datasets.specification.classes import numbered, require_quoted
from mlops_assets.datasets.specification.description import Bands, Extent, Provider
from mlops_assets.datasets.specification.source import Source
from mlops_assets.datasets.specification.target_area import TargetArea
from mlops_assets.errors import NameRefused
from mlops_assets.names import check_name
from mlops_assets.strict import Strict, refusing
from mlops_assets.text.json_values import JsonObject

SPLITS: tuple[str, ...] = tuple(split.value for split in SplitName)
SplitMethod = Literal["column", "random", "group", "spatial_block", "temporal"]


class Split(Strict):
    """The division of samples into train, validation and test."""

    method: SplitMethod = Field(
        default="random",
        description=(
            "'random' by content, 'group' by a column, 'column' as a column states, 'spatial_block'"
            " by place, 'temporal' by date. All but 'temporal' keep a sample in its split when the"
            " dataset grows."
        ),
    )
    by: str | None = Field(
        default=None,
        exclude_if=lambda by: by is None,  # what earlier versions declare reads as it did
        description=(
            "What stays together with 'method: group' where labels are vectors: 'polygon', each"
            " feature by its geometry, or a column of the layer. Scenes stay together if not given."
        ),
    )
    fractions: dict[Literal["train", "validation", "test"], float] = Field(
        default={"train": 0.7, "validation": 0.1, "test": 0.2},
        description="Share of each split; they sum to 1.",
    )
    seed: int = Field(default=0, description="Another seed gives another division.")
    block: float | None = Field(
        default=None,
        gt=0,
        description=(
            "Side of a block for 'spatial_block': metres where the data is georeferenced, else"
            " pixels. 1000 m or 32 pixels if not given."
        ),
    )
    buffer: float = Field(
        default=0,
        ge=0,
        description=(
            "Samples nearer than this to a training block are left out of the other splits; metres"
            " or pixels."
        ),
    )

    @field_validator("fractions")
    @classmethod
    def _sum_to_one(cls, fractions: dict[str, float]) -> dict[str, float]:
        if (
            not all(value >= 0 for value in fractions.values())
            or abs(sum(fractions.values()) - 1) > 1e-6
        ):
            raise ValueError(
                f"fractions must be positive and sum to 1, not {sum(fractions.values()):g}"
            )
        if not fractions.get("train") or not fractions.get("test"):
            raise ValueError("fractions need a 'train' and a 'test' share above 0")
        return fractions

    @model_validator(mode="after")
    def _by_with_group(self) -> Split:
        if self.by is not None and self.method != "group":
            raise ValueError(f"by: goes with 'method: group', not with {self.method!r}")
        return self


class QualityThresholds(Strict):
    """Thresholds of the quality report.

    Too many exact copies across splits stop training; all else is a warning.
    """

    max_duplicates: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description=(
            "Share of test and validation samples whose exact values also occur in training, beyond"
            " which training stops; and share of copies within a split. Coarse measurements collide"
            " by nature; more than a tenth is a copy."
        ),
    )
    max_near_duplicates: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description=(
            "Share of test and validation samples that nearly are training samples. By the"
            " definition of near, data without copies has next to none; one in a hundred changes"
            " the second digit of a metric."
        ),
    )
    max_missing: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description=(
            "Share of missing and nodata values of a band. Above a tenth, estimates are likely to"
            " be biased (Bennett 2001, Australian and New Zealand Journal of Public Health 25,"
            " 464-469)."
        ),
    )
    max_saturated: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description=(
            "Share of a band's values at its upper end. A hundredth is what a usual contrast"
            " stretch clips unnoticed; more is a sensor or a scaling at its limit."
        ),
    )
    max_imbalance: float = Field(
        default=100,
        ge=1,
        description=(
            "How many times as much the largest class may have in training as the smallest. From"
            " 100 on imbalance counts as high (Leevy et al. 2018, Journal of Big Data 5, 42)."
        ),
    )
    max_class_shift: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description=(
            "Total variation distance between the class shares of training and of another split, or"
            " of a split and of the same in the version before. By so much accuracy may differ"
            " between them from the mix of classes alone."
        ),
    )
    max_feature_shift: float = Field(
        default=0.1,
        ge=0,
        description=(
            "Standardised mean difference of a feature, band or number label between a version and"
            " the one before. Above a tenth, a difference is no longer negligible (Austin 2009,"
            " doi:10.1002/sim.3697)."
        ),
    )
    min_distance: float | None = Field(
        default=None,
        ge=0,
        description=(
            "Least distance of test samples to training samples: metres where georeferenced, else"
            " pixels. If not given, a sample's own side, so that none share ground, and at least 2"
            " pixels, as a sensor's point spread function mixes neighbours; for table rows 10 m, as"
            " satellite navigation cannot separate nearer places."
        ),
    )
    max_label_noise: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description=(
            "Share of training labels that contradict the other samples. Ten much used benchmarks"
            " have 3.3 % wrong labels on average; 6 % more change which model is best (Northcutt,"
            " Athalye, Mueller 2021, NeurIPS)."
        ),
    )


# the web server's API has no longer one, and fails for all sensors of a project
MAX_INTERVAL_SECONDS = 2**31 - 1


class SensorSettings(Strict):
    """Settings for watching the landing and its versions."""

    status: Literal["running", "stopped"] = Field(
        default="stopped",
        description=(
            "Whether the dataset's sensors are on until somebody switches them in Dagster's UI."
        ),
    )
    interval_seconds: int = Field(
        default=30, ge=5, le=MAX_INTERVAL_SECONDS, description="Polling interval in seconds."
    )
    settle_seconds: int = Field(
        default=60, ge=0, description="New data must have been unchanged for so long."
    )


class DatasetSpecification(Strict):
    """A training dataset as declared."""

    name: str = Field(description="Name of the dataset: a letter, then letters, digits and '_'.")
    title: str | None = Field(default=None, description="One line for people.")
    description: str = Field(default="", description="What the data is and how it was made.")
    license: str = Field(default="other", description="SPDX identifier, or 'other'.")
    providers: list[Provider] = Field(
        default=[], description="Who made, licenses or hosts the data."
    )
    doi: str | None = Field(default=None, description="DOI of the data.")
    citation: str | None = Field(default=None, description="How to cite the data.")
    keywords: list[str] = Field(
        default=[],
        exclude_if=lambda keywords: not keywords,
        description="What catalogues find it and its models by, such as Sentinel-2, agriculture.",
    )
    source: Source = Field(description="Where the files arrive and how they are read.")
    classes: dict[int | str, str] | None = Field(
        default=None,
        description=(
            "Label value → class name, or a list of names where labels are texts: of a table, of"
            " folders, or in a column of vector labels. Taken from the labels of a table if not"
            " given."
        ),
    )
    bands: Bands = Field(default=Bands(), description="What the bands of the scenes are.")
    units: dict[str, str] = Field(
        default={}, description="Feature or band → its unit, as in UCUM: °C, m/s, 1."
    )
    extent: Extent | None = Field(
        default=None, description="Place and time, if the files do not state them."
    )
    split: Split = Field(default=Split(), description="How samples are divided.")
    quality: QualityThresholds = Field(
        default=QualityThresholds(), description="Thresholds of the quality report."
    )
    target_area: TargetArea | None = Field(
        default=None,
        exclude_if=lambda area: area is None,  # what earlier versions declare reads as it did
        description="What is to be mapped, which the test split is compared with.",
    )
    sensor: SensorSettings = Field(
        default=SensorSettings(), description="How the landing is watched."
    )

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        with refusing(NameRefused):
            return check_name(name, "dataset name")

    @field_validator(
        "classes",
        mode="before",
        json_schema_input_type=dict[int | str, str] | list[str] | None,
    )
    @classmethod
    def _values_and_names(cls, classes: object, checked: ValidationInfo) -> object:
        if isinstance(classes, list):
            return numbered(classes, checked.data.get("source"))
        if isinstance(classes, dict):
            require_quoted(written for entry in classes.items() for written in entry)
        return classes

    @model_validator(mode="after")
    def _split_fits_source(self) -> DatasetSpecification:
        classes = self.classes or {}
        by_text = {str(value): value for value in classes}
        twice = sorted({str(value) for value in classes if by_text[str(value)] != value})
        if twice:
            raise ValueError(
                f"classes: {', '.join(twice)} is declared both as a number and as text; remove one"
            )
        ambiguous = {name for value, name in classes.items() if by_text.get(name, value) != value}
        if ambiguous:
            raise ValueError(
                f"classes: {', '.join(sorted(ambiguous))} is both a value and another class's name;"
                " rename it"
            )
        if len(set(classes.values())) < len(classes):
            raise ValueError(
                "classes: two values have one name; give each its own, or one value in the data"
            )
        missing = self.source.missing_for(self.split.method)
        if missing:
            raise ValueError(f"split method {self.split.method!r} {missing}")
        unfit = self.source.unfit_for_groups_of_features() if self.split.by is not None else None
        if unfit:
            raise ValueError(f"split.by: {unfit}")
        sampling = self.source.sampling
        if sampling and sampling.label_is == "class":
            self._classes_fit_scenes(sampling.unlabelled)
        return self

    def _classes_fit_scenes(self, unlabelled: int | None) -> None:
        if not self.classes:
            raise ValueError(
                "classes: {VALUE: NAME} is needed to know what the labels of the scenes mean; for"
                " vector labels with names also [NAME, …]"
            )
        texts = [repr(value) for value in self.classes if not re.fullmatch("-?[0-9]+", str(value))]
        if texts:
            raise ValueError(
                f"classes: {', '.join(texts)} is not a whole number, as labels of scenes are; use"
                " numbers"
            )
        if str(unlabelled) in map(str, self.classes):
            raise ValueError(
                f"classes: {unlabelled} is the value that 'unlabelled' marks as unknown; set"
                " 'unlabelled' to another value, or to null if every pixel of the label rasters is"
                " labelled"
            )

    def committed(self) -> JsonObject:
        """Return the declaration as it is stored with a data version.

        `sensor` and `target_area` are not of the data: they may change after a commit.
        """
        return self.model_dump(mode="json", exclude={"sensor", "target_area"})
