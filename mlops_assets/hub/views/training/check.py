"""The training that a draft asks for, checked by what checks that of a command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue, ValidationError

from mlops_assets.errors import SpecificationError
from mlops_assets.hub.orchestration.launcher import TrainingRequest
from mlops_assets.hub.views.training.draft import Draft
from mlops_assets.hub.views.training.fields import FormField, fields_of
from mlops_assets.hub.views.training.search import checked_sweep
from mlops_assets.models.compute import Compute
from mlops_assets.models.parameters import document
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.registry.runs.remarks import MAX_NOTE, MAX_TAG, MAX_TAGS
from mlops_assets.training.experiment import declared_values, recorded_values
from mlops_assets.training.sweeps.trials import SWEEP, TRIAL
from mlops_assets.training.trainers import load_trainer

# of Dagster and of the platform, which decide what a run is
_RESERVED = ("dagster/", ".dagster/", "mlops/")


@dataclass(frozen=True)
class Checked:
    """A draft, checked.

    Attributes:
        request: what it asks for; None if something is wrong.
        problems: place → what is wrong there. Places are `data`, `seed`, `tags`, `note`,
            `parameters.NAME`, `compute.NAME`, `space.NAME`, `search.NAME`; `parameters` and `space`
            for what is wrong with several together.
        changed: places whose values differ from the default.
    """

    request: TrainingRequest | None
    problems: dict[str, str] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()


def check_draft(declared: ModelSpecification, draft: Draft, data: str | None) -> Checked:
    """Return the training that a draft asks for.

    Args:
        declared: the model.
        draft: what was entered.
        data: version that is trained on; None if the dataset has none.

    Raises:
        TrainerError: the trainer cannot be loaded, or refuses the declared parameters.
    """
    problems: dict[str, str] = {}
    parameters = _parameters(declared, draft, problems)
    compute = _compute(declared, draft, problems)
    seed = _seed(draft.seed, problems)
    tags = _tags(draft.tags, problems)
    if len(draft.note) > MAX_NOTE:
        problems["note"] = f"the note is longer than {MAX_NOTE:,} characters; shorten it"
    if draft.sweep and draft.note.strip():
        problems["note"] = "a sweep has no note; note its trials, or remove the note"
    if data is None:
        problems["data"] = (
            f"{declared.dataset} has no version; commit one by 'mlops dataset commit"
            f" {declared.dataset}'"
        )
    if seed == declared.seed:
        seed = None
    sweep = None
    if draft.sweep:
        sweep = checked_sweep(declared, parameters, draft, problems)
        if seed is not None:
            problems["seed"] = (
                f"trials of a sweep have the declared seed, {declared.seed}; start single runs for"
                " other seeds"
            )
    changed = {f"parameters.{name}" for name in parameters} | {f"compute.{n}" for n in compute}
    if seed is not None:
        changed.add("seed")
    if problems or data is None:
        return Checked(None, problems, frozenset(changed))
    request = TrainingRequest(
        model=declared.name,
        data=Reference(declared.dataset, data),
        parameters=parameters,
        seed=seed,
        compute=compute,
        sweep=sweep,
        tags=tags,
        note=draft.note.strip(),
    )
    return Checked(request, {}, frozenset(changed))


def _parameters(
    declared: ModelSpecification, draft: Draft, problems: dict[str, str]
) -> dict[str, JsonValue]:
    """Return the parameters that differ from the declared ones."""
    trainer = load_trainer(declared.trainer)
    defaults = declared_values(declared)
    fields = fields_of(trainer.params_type, defaults, declared.params)
    entered = _entered("parameters", fields, draft.parameters, problems)
    values = {**declared.params, **entered}
    if trainer.params_type.model_config.get("extra") != "allow":
        for name in entered:
            if name not in trainer.params_type.model_fields:
                problems[f"parameters.{name}"] = f"{declared.trainer} has no such parameter"
    for name, problem in trainer.problems(values).items():
        problems.setdefault(f"parameters.{name}" if name else "parameters", problem)
    if any(place.startswith("parameters") for place in problems):
        # what is marked as changed is what was entered, as its value is unknown
        return entered
    typed = recorded_values(document(trainer.parameters(values)))
    return {
        name: value
        for name, value in typed.items()
        if name not in defaults or defaults[name] != value
    }


def _compute(
    declared: ModelSpecification, draft: Draft, problems: dict[str, str]
) -> dict[str, JsonValue]:
    """Return the resources that differ from the declared ones."""
    own = declared.compute.model_dump(mode="json")
    entered = _entered("compute", fields_of(Compute, own, {}), draft.compute, problems)
    try:
        typed = Compute.model_validate({**own, **entered}).model_dump(mode="json")
    except ValidationError as error:
        for entry in error.errors():
            message = entry["msg"].removeprefix("Value error, ")
            problems.setdefault(f"compute.{entry['loc'][0]}", message)
        return entered
    # what is not given is not written
    names = dict.fromkeys([*own, *typed])
    return {name: typed.get(name) for name in names if own.get(name) != typed.get(name)}


def _entered(
    group: str, fields: list[FormField], texts: Mapping[str, str], problems: dict[str, str]
) -> dict[str, JsonValue]:
    """Return the values of the texts of a group; those that cannot be read are left out."""
    known = {field.name: field for field in fields}
    values: dict[str, JsonValue] = {}
    for name, text in texts.items():
        try:
            values[name] = known.get(name, FormField.of_any(name)).parse(text)
        except SpecificationError as error:
            problems[f"{group}.{name}"] = str(error)
    return values


def _seed(text: str, problems: dict[str, str]) -> int | None:
    digits = text.strip()
    if not digits:
        return None
    if not (digits.isascii() and digits.isdigit()) or int(digits[:20]) >= 2**31:
        problems["seed"] = "a whole number from 0 to 2147483647 is needed"
        return None
    return int(digits)


def _tags(text: str, problems: dict[str, str]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name or not value:
            problems["tags"] = f"{line[:MAX_TAG]!r} is not NAME=VALUE"
        elif len(name) > MAX_TAG or len(value) > MAX_TAG:
            problems["tags"] = f"a name and a value have {MAX_TAG} characters at most"
        elif name in (SWEEP, TRIAL) or name.startswith(_RESERVED):
            problems["tags"] = f"{name!r} is set by the platform; take another name"
        tags[name] = value
    if len(tags) > MAX_TAGS:
        problems["tags"] = f"{MAX_TAGS} tags at most"
    return tags
