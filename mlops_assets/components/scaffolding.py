"""The output of `dg scaffold defs`: a complete declaration that only needs your names."""

import re
from typing import TypeVar

import dagster as dg
from pydantic import BaseModel, Field

from mlops_assets.components.examples import AREA, PROCESSED, SERVICE, ExampleName, example

ParamsT = TypeVar("ParamsT", bound=BaseModel)


class DatasetScaffoldParams(BaseModel):
    """Parameters of a scaffolded dataset."""

    layout: ExampleName = Field(default="table", description="What lies in the landing.")


class ModelScaffoldParams(DatasetScaffoldParams):
    """Parameters of a scaffolded model."""

    dataset: str = Field(default="DATASET", description="Name of the dataset to train on.")


class TrainingDatasetScaffolder(dg.Scaffolder[DatasetScaffoldParams]):
    """Writes the example of a layout as a dataset called like its folder."""

    @classmethod
    def get_scaffold_params(cls) -> type[DatasetScaffoldParams]:
        """Return the options of `dg scaffold defs`."""
        return DatasetScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[DatasetScaffoldParams]) -> None:
        """Write `defs.yaml`."""
        name = request.target_path.name
        text = example(request.params.layout, "TrainingDataset")
        _write(request, text, {"name": name, "url": f"landing/{name}"})


class ProcessedDatasetScaffolder(dg.Scaffolder[BaseModel]):
    """Writes the example of data made from data as a dataset called like its folder."""

    def scaffold(self, request: dg.ScaffoldRequest[BaseModel]) -> None:
        """Write `defs.yaml`."""
        text = example(PROCESSED, "ProcessedDataset")
        _write(request, text, {"name": request.target_path.name})


class TrainedModelScaffolder(dg.Scaffolder[ModelScaffoldParams]):
    """Writes the example of a layout as a model called like its folder."""

    @classmethod
    def get_scaffold_params(cls) -> type[ModelScaffoldParams]:
        """Return the options of `dg scaffold defs`."""
        return ModelScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[ModelScaffoldParams]) -> None:
        """Write `defs.yaml`."""
        names = {"name": request.target_path.name, "dataset": request.params.dataset}
        _write(request, example(request.params.layout, "TrainedModel"), names)


class AreaScaffoldParams(BaseModel):
    """Parameters of a scaffolded area."""

    model: str = Field(default="MODEL", description="Name of the model that maps it.")


class PredictionAreaScaffolder(dg.Scaffolder[AreaScaffoldParams]):
    """Writes the example of an area called like its folder."""

    @classmethod
    def get_scaffold_params(cls) -> type[AreaScaffoldParams]:
        """Return the options of `dg scaffold defs`."""
        return AreaScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[AreaScaffoldParams]) -> None:
        """Write `defs.yaml`."""
        names = {"name": request.target_path.name, "model": request.params.model}
        _write(request, example(AREA, "PredictionArea"), names)


class ServiceScaffoldParams(BaseModel):
    """Parameters of a scaffolded service."""

    model: str = Field(default="MODEL", description="Name of the model that is served.")


class ModelServiceScaffolder(dg.Scaffolder[ServiceScaffoldParams]):
    """Writes the example of a service called like its folder."""

    @classmethod
    def get_scaffold_params(cls) -> type[ServiceScaffoldParams]:
        """Return the options of `dg scaffold defs`."""
        return ServiceScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[ServiceScaffoldParams]) -> None:
        """Write `defs.yaml`."""
        names = {"name": request.target_path.name, "model": request.params.model}
        _write(request, example(SERVICE, "ModelService"), names)


def _write(request: dg.ScaffoldRequest[ParamsT], text: str, names: dict[str, str]) -> None:
    """Write an example with other names; its comments stay."""
    if request.scaffold_format == "python":
        dg.scaffold_component(request)
        return
    for key, name in names.items():
        text = re.sub(rf"^( +{key}: )\S+", rf"\g<1>{name}", text, count=1, flags=re.MULTILINE)
    if request.append:
        with request.target_path.open("a", encoding="utf-8") as file:
            file.write(f"---\n{text}")
    else:
        (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")
