"""The sweep of a draft, checked by what checks the file of `mlops sweep`."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue, ValidationError

from mlops_assets.errors import SpecificationError, TrainerError
from mlops_assets.hub.orchestration.launcher import Sweep
from mlops_assets.hub.views.training.draft import Draft
from mlops_assets.hub.views.training.fields import FormField, read_value
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.training.experiment import declared_values
from mlops_assets.training.sweeps.objective import direction_of
from mlops_assets.training.sweeps.settings import SweepSettings
from mlops_assets.training.sweeps.space import space_of
from mlops_assets.training.trainers import load_trainer

# the place of the space in errors, which a field of the form replaces
_WHERE = "space"
_NUMBERS = ("trials", "parallel", "seed", "timeout")


def checked_sweep(
    declared: ModelSpecification,
    parameters: Mapping[str, JsonValue],
    draft: Draft,
    problems: dict[str, str],
) -> Sweep | None:
    """Return the sweep of a draft.

    Args:
        declared: the model.
        parameters: that are the same in all trials and differ from the declared ones.
        draft: what was entered.
        problems: gets what is wrong, by place: `space.NAME`, `search.NAME`, `space`.

    Returns:
        The sweep; None if something is wrong.
    """
    before = len(problems)
    settings = _settings(draft, problems)
    if settings is None or len(problems) > before:
        return None
    common = {**declared_values(declared), **parameters}
    trainer = load_trainer(declared.trainer)
    for name, value in settings.parameters.items():
        single = settings.model_copy(update={"parameters": {name: value}})
        try:
            space_of(single, trainer, common, _WHERE)
        except (SpecificationError, TrainerError) as error:
            problems[f"space.{name}"] = _without_place(str(error), name)
    if settings.metric is not None:
        try:
            direction_of(settings.metric, settings.direction)
        except SpecificationError as error:
            problems["search.direction"] = str(error).removeprefix("direction: ")
    if len(problems) > before:
        return None
    written = settings.model_dump(mode="json", exclude_unset=True)
    return Sweep(
        trials=settings.trials,
        parallel=settings.parallel,
        seed=settings.seed,
        space=written["parameters"],
        method=settings.method,
        metric=settings.metric,
        direction=settings.direction,
        prune=settings.prune,
        timeout=settings.timeout,
    )


def proposal(field: FormField) -> str:
    """Return values to search for a parameter, to begin with; a user changes them.

    Numbers are searched from a quarter of the default to four times it, within their limits.
    """
    default = field.default
    if field.kind == "choice":
        return _flow(
            [f'"{each}"' if isinstance(each, str) else _text(each) for each in field.choices]
        )
    if field.kind == "boolean":
        return _flow(["true", "false"])
    if isinstance(default, bool) or not isinstance(default, int | float) or default <= 0:
        return _flow([field.text(default)] if field.text(default) else [])
    if field.kind == "integer" or isinstance(default, int):
        return f"{{min: {max(1, default // 4):g}, max: {default * 4:g}}}"
    return f"{{min: {default / 4:g}, max: {_below(field, default * 4):g}, log: true}}"


def _settings(draft: Draft, problems: dict[str, str]) -> SweepSettings | None:
    values: dict[str, object] = {}
    for name, text in draft.search.items():
        if not text.strip():
            continue
        try:
            values[name] = read_value(text) if name in _NUMBERS else text.strip()
        except SpecificationError as error:
            problems[f"search.{name}"] = str(error)
    space: dict[str, object] = {}
    for name, text in draft.space.items():
        try:
            space[name] = read_value(text)
        except SpecificationError as error:
            problems[f"space.{name}"] = str(error)
    if len(space) < len(draft.space):
        return None
    if not space:
        problems["space"] = "no parameter is searched; choose 'Search' at one"
        return None
    try:
        return SweepSettings.model_validate({**values, "parameters": space})
    except ValidationError as error:
        for entry in error.errors():
            first, *rest = entry["loc"]
            place = f"space.{rest[0]}" if first == "parameters" and rest else f"search.{first}"
            # after the kind of a parameter, which pydantic names, its key
            keys = ".".join(str(part) for part in rest[2:] if part not in ("int", "float"))
            message = entry["msg"].removeprefix("Value error, ")
            problems.setdefault(place, f"{keys}: {message}" if keys else message)
        return None


def _without_place(message: str, name: str) -> str:
    return message.removeprefix(f"{_WHERE}: ").removeprefix(f"parameters.{name}").lstrip(".: ")


def _below(field: FormField, value: float) -> float:
    """Return a value, or one within the limits of a parameter if it is beyond them."""
    largest = field.type.get("maximum")
    if isinstance(largest, int | float):
        return min(value, largest)
    beyond = field.type.get("exclusiveMaximum")
    return min(value, beyond * 0.99) if isinstance(beyond, int | float) else value


def _flow(values: list[str]) -> str:
    return f"{{choices: [{', '.join(values)}]}}"


def _text(value: JsonValue) -> str:
    return "null" if value is None else str(value)
