"""The settings of a sweep as a user writes them: parameters, method, and number of trials.

The trainer is not known to this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationError, model_validator
from pydantic_core import ErrorDetails

from mlops_assets.choices import Direction, Method, PrunerName
from mlops_assets.errors import NotFound, SpecificationError
from mlops_assets.strict import Strict

# of a search that is not a grid
DEFAULT_TRIALS = 20


class Choices(Strict):
    """Values to choose from."""

    choices: list[object] = Field(min_length=1, description="Values to choose from.")


class Range(Strict):
    """Numbers to choose from."""

    min: int | float = Field(allow_inf_nan=False, description="Least value.")
    max: int | float = Field(allow_inf_nan=False, description="Largest value.")
    step: int | float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Only min, min + step, and so on."
    )
    log: bool = Field(
        default=False, description="Search its logarithm evenly, as for a learning rate."
    )
    integer: bool | None = Field(
        default=None, description="Only integers; as the trainer takes them if not given."
    )

    @model_validator(mode="after")
    def _can_be_searched(self) -> Range:
        if self.min > self.max:
            raise ValueError(f"min {self.min:g} is larger than max {self.max:g}; exchange them")
        if self.log and self.min <= 0:
            raise ValueError(
                f"a logarithm needs min > 0, it is {self.min:g}; raise min or remove log"
            )
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other; remove one, or write 'choices'")
        if self.integer and any(
            value != int(value) for value in (self.min, self.max, self.step or 1)
        ):
            raise ValueError("an integer range needs integers as min, max and step")
        return self


def _kind(value: object) -> str:
    if isinstance(value, Choices) or (isinstance(value, dict) and "choices" in value):
        return "choices"
    return "range" if isinstance(value, Range | dict) else "fixed"


Parameter = Annotated[
    Annotated[Choices, Tag("choices")]
    | Annotated[Range, Tag("range")]
    | Annotated[object, Tag("fixed")],
    Discriminator(_kind),
]


def _no_test_split(metric: str | None) -> str | None:
    if metric is not None and metric.lower().startswith("test"):
        raise ValueError(
            f"{metric!r} is of the test split, which no longer measures a model that was chosen by"
            " it; use a metric of the validation split"
        )
    return metric


Metric = Annotated[str | None, AfterValidator(_no_test_split)]


class SweepSettings(Strict):
    """A sweep as a user writes it."""

    parameters: dict[str, Parameter] = Field(
        min_length=1,
        description="Of the trainer: {choices: […]}, {min, max, step, log, integer}, or one value.",
    )
    method: Method = Field(
        default="tpe", description="tpe (learns from the trials so far), random, or grid (all)."
    )
    metric: Metric = Field(
        default=None,
        description=(
            "What is optimised: a metric that the trainer logs, of the validation split; chosen by"
            " what the first trial logs if not given."
        ),
    )
    direction: Direction | None = Field(
        default=None, description="minimize or maximize; by the metric's name if not given."
    )
    trials: int | None = Field(
        default=None,
        ge=1,
        description=f"Trials in all; {DEFAULT_TRIALS}, or the whole grid, if not given.",
    )
    parallel: int = Field(default=1, ge=1, description="Trials that run at the same time.")
    prune: PrunerName = Field(
        default="none", description="Stop trials that do badly early: median or hyperband."
    )
    seed: int = Field(
        default=0, ge=0, description="Seed of the search; the model's own seed stays as it is."
    )
    timeout: float | None = Field(
        default=None,
        gt=0,
        description="Seconds after which no further trial is begun; those that run are finished.",
    )


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads `1e-4` as the number it is in YAML 1.2.

    PyYAML alone requires a dot in it.
    """


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789")
)


def read_settings(path: Path, **overrides: object) -> SweepSettings:
    """Read a sweep from a YAML file.

    Args:
        path: the file.
        overrides: settings that take precedence over the file's, where they are not None.

    Raises:
        NotFound: there is no such file.
        SpecificationError: it cannot be read; the message names the file and each key.
    """
    try:
        loaded = _Loader(path.read_text()).get_single_data()
    except OSError as error:
        raise NotFound(
            f"{path} cannot be read: {error.strerror}; name a file that lists the parameters to try"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecificationError(
            f"{path} is not valid YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(loaded, dict):
        raise SpecificationError(
            f"{path} has no settings; write 'parameters:' and below it the values to try"
        )
    return settings_of(
        {**loaded, **{key: value for key, value in overrides.items() if value is not None}},
        str(path),
    )


def settings_of(values: Mapping[str, object], where: str) -> SweepSettings:
    """Return validated settings.

    Args:
        values: the settings as written.
        where: name of their source in errors, such as the file.

    Raises:
        SpecificationError: they are invalid; each error is listed with its key.
    """
    try:
        return SweepSettings.model_validate(values)
    except ValidationError as error:
        listed = "".join(f"\n  - {_key(e['loc'])}: {_message(e)}" for e in error.errors())
        raise SpecificationError(f"{where} is invalid:{listed}") from error


def _key(location: tuple[int | str, ...]) -> str:
    """Return a key as written, without pydantic's names for the kinds of a parameter."""
    if location[:1] == ("parameters",) and len(location) > 2:
        kind, *rest = location[2:]
        location = (*location[:2], *rest) if kind in ("choices", "range", "fixed") else location
    return ".".join(str(part) for part in location if part not in ("int", "float"))


def _message(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key; remove it or correct its spelling"
    return str(error["msg"]).removeprefix("Value error, ")
