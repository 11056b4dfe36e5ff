"""The file `ci.yaml` of a project: the models that a pipeline trains, and by what they are judged.

It lies beside `pyproject.toml`, under version control.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlops_assets.errors import NameRefused
from mlops_assets.models.specification import Gate
from mlops_assets.names import Reference
from mlops_assets.strict import (
    DeclaredAlias,
    DeclaredName,
    Strict,
    read_settings_file,
    refusing,
    require_unique,
)


def _pinned(text: str) -> str:
    with refusing(NameRefused):
        reference = Reference.parse(text)
    if reference.what is None:
        raise ValueError(f"name a version or a tag of {text}, such as {text}@ci")
    return text


class PlannedModel(Strict):
    """A model that a pipeline trains.

    Attributes:
        name: of the model.
        data: data version in production that merge requests train it on, by version or tag.
        compare_with: alias in production of the version that it is compared with, which is
            `production` in the workspace of a branch.
        gates: that a merge request must pass besides the declared ones of the model.
    """

    name: DeclaredName
    data: Annotated[str, AfterValidator(_pinned)]
    compare_with: DeclaredAlias = "production"
    gates: tuple[Gate, ...] = ()

    @property
    def reference(self) -> Reference:
        """The data version in production."""
        return Reference.parse(self.data)


class Plan(Strict):
    """The models of a project that its pipelines train.

    Attributes:
        models: each once.
        undecided: whether a gate that the test samples do not suffice to decide lets a merge
            request pass; promotion it never lets pass.
    """

    models: Annotated[tuple[PlannedModel, ...], Field(min_length=1)]
    undecided: Literal["fail", "pass"] = "fail"

    @model_validator(mode="after")
    def _unique(self) -> Plan:
        require_unique([model.name for model in self.models], "models")
        return self


def read_plan(path: Path) -> Plan:
    """Read the plan of a project.

    Raises:
        SettingsError: the file cannot be read, or is invalid.
    """
    return read_settings_file(Plan, "MLOPS_CI_PLAN", path)
