"""The declaration of a dataset that a function makes from other datasets.

Dagster's docs have every description.
"""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.specification.source import Source, StacLayout
from mlops_assets.errors import NameRefused
from mlops_assets.models.compute import Compute
from mlops_assets.models.parameters import written
from mlops_assets.names import Reference, check_function
from mlops_assets.strict import refusing
from mlops_assets.text.json_values import JsonObject


class OutputSource(Source):
    """The layout of files that a function writes, and how they are read."""

    url: str = Field(
        default="", description="Not given: what the function writes to its output is read."
    )

    @field_validator("url")
    @classmethod
    def _nothing_lands(cls, url: str) -> str:
        if url:
            raise ValueError(
                "the files are those that the function writes to its output; remove it, or declare"
                " a TrainingDataset"
            )
        return url

    @field_validator("stac")
    @classmethod
    def _nothing_is_left_in_the_output(cls, stac: StacLayout | None) -> StacLayout | None:
        if stac is not None and stac.assets == "reference":
            raise ValueError(
                "assets: the output folder is removed once it is committed; use 'assets: copy'"
            )
        return stac


class ProcessedDatasetSpecification(DatasetSpecification):
    """A dataset that is made from other datasets, as declared."""

    source: OutputSource = Field(description="How the files are read that the function writes.")
    inputs: list[str] = Field(
        min_length=1,
        description=(
            "Datasets that it is made from, in the order in which the function gets them. It is"
            " made once for each version of the first; of the others the newest version is taken,"
            " or that of 'NAME@VERSION' or 'NAME@TAG'."
        ),
    )
    function: str = Field(
        description=(
            "The function as 'package.module:function'; it is called as"
            " function(inputs, output, params, run) and writes files below the folder 'output'."
        )
    )
    params: dict[str, object] = Field(
        default={}, description="Parameters of the function; a run can set others."
    )
    compute: Compute = Field(default=Compute(), description="What the function may use.")
    auto_process: bool = Field(
        default=False, description="Process every new version of the first input."
    )

    @field_validator("inputs")
    @classmethod
    def _references(cls, inputs: list[str], info: ValidationInfo) -> list[str]:
        with refusing(NameRefused):
            parsed = [Reference.parse(text) for text in inputs]
        if parsed[0].what is not None:
            raise ValueError(
                f"{inputs[0]}: each version of the first input is processed; name it without a"
                " version, or put another one first"
            )
        names = [reference.name for reference in parsed]
        if len(set(names)) < len(names):
            raise ValueError("a dataset occurs twice; name each once")
        if info.data.get("name") in names:
            raise ValueError(
                f"{info.data['name']} cannot be made from itself; give it another name than its"
                " input"
            )
        return inputs

    @field_validator("function")
    @classmethod
    def _function(cls, function: str) -> str:
        with refusing(NameRefused):
            return check_function(function, "function")

    @field_validator("params")
    @classmethod
    def _params(cls, params: dict[str, object]) -> dict[str, object]:
        return {name: written(value) for name, value in params.items()}

    @field_validator("compute")
    @classmethod
    def _one_process(cls, compute: Compute) -> Compute:
        if compute.processes not in (None, 1):
            raise ValueError("processes: only trainers run under torchrun; remove it")
        # several GPUs are those of one process too
        return compute.model_copy(update={"processes": 1})

    @property
    def input_references(self) -> list[Reference]:
        """The inputs, parsed."""
        return [Reference.parse(text) for text in self.inputs]

    def committed(self) -> JsonObject:
        """Return the declaration as it is stored with a data version, as that of any dataset.

        How it was made is stored beside it, as it was for that version.
        """
        found = super().committed()
        return {name: found[name] for name in found if name in DatasetSpecification.model_fields}
