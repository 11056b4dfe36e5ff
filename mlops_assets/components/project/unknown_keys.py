"""Advice on a key that a declaration may not have: where it belongs, or how it is spelt.

Everything is taken from the fields of the models themselves.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import get_args, get_origin

from dagster.components.core.defs_module import ComponentFileModel
from pydantic import BaseModel, ValidationError

ROOT = "attributes"
IN_PARAMS = f"unknown key here; as a parameter it belongs in {ROOT}.params"


def advice(
    model: type[BaseModel],
    document: object,
    path: Sequence[str | int],
    others: Mapping[str, type[BaseModel]],
    params: type[BaseModel] | None = None,
) -> str:
    """Return the remedy for a key that is unknown where it is written.

    Args:
        model: of the attributes of the component.
        document: the whole YAML document.
        path: keys that lead to the unknown one, from the document on.
        others: models of the other components, by their names.
        params: parameters of the trainer or function that the document names, if it names one.
    """
    key = str(path[-1])
    around = tuple(str(part) for part in path[:-1])
    places = [place for place in _places(model, key) if place != around]
    if places:
        return f"unknown key here; it belongs in {_listed(_best(places, model, document, path))}"
    if around and key in ComponentFileModel.model_fields:
        return f"unknown key here; it belongs beside '{ROOT}', not below it"
    if params is not None and key in params.model_fields:
        return IN_PARAMS
    names = _names_at(model, around)
    close = get_close_matches(key, names, n=1)
    if close:
        return f"unknown key; did you mean {close[0]!r}?"
    elsewhere = [name for name, other in others.items() if any(True for _ in _places(other, key))]
    if elsewhere:
        return f"unknown key; a {elsewhere[0]} has it, so it belongs in the declaration of one"
    if params is not None and params.model_config.get("extra") == "allow":
        return IN_PARAMS
    return f"unknown key; remove it or correct its spelling: there is {', '.join(sorted(names))}"


def _listed(places: Sequence[tuple[str, ...]]) -> str:
    return " or ".join(".".join(place) for place in places)


def _places(
    model: type[BaseModel], key: str, around: tuple[str, ...] = (ROOT,)
) -> Iterator[tuple[str, ...]]:
    """Yield the keys that lead from the document to each model that has a field of this name."""
    if key in model.model_fields:
        yield around
    for name, field in model.model_fields.items():
        for nested in _models_in(field.annotation):
            yield from _places(nested, key, (*around, name))


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """Return the models among the types of a field, except those under user-chosen names."""
    if get_origin(annotation) is dict:
        return []
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _names_at(model: type[BaseModel], around: Sequence[str]) -> list[str]:
    """Return the keys that may stand at a place."""
    if not around:
        return list(ComponentFileModel.model_fields)
    models = [model]
    for part in around[1:]:
        nested = [
            m
            for one in models
            for n, f in one.model_fields.items()
            if n == part
            for m in _models_in(f.annotation)
        ]
        # none are nested under the index of a list, or the name of a member of a union
        models = nested or models
    return sorted({name for one in models for name in one.model_fields})


def _best(
    places: Sequence[tuple[str, ...]],
    model: type[BaseModel],
    document: object,
    path: Sequence[str | int],
) -> list[tuple[str, ...]]:
    """Return those places at which the key would be accepted with the fewest errors left."""
    value = _at(document, path)
    known = _without_unknown_keys(model, document)
    errors = {place: _errors_with(model, known, place, str(path[-1]), value) for place in places}
    fewest = min(errors.values())
    return [place for place in places if errors[place] == fewest]


def _without_unknown_keys(model: type[BaseModel], document: object) -> dict[str, object]:
    """Return the attributes of a document without unknown keys, to check only the rest."""
    written = document.get(ROOT) if isinstance(document, dict) else None
    attributes: dict[str, object] = copy.deepcopy(written) if isinstance(written, dict) else {}
    try:
        model.model_validate(attributes)
    except ValidationError as error:
        for entry in error.errors():
            around = _at(attributes, entry["loc"][:-1])
            if entry["type"] == "extra_forbidden" and isinstance(around, dict):
                around.pop(entry["loc"][-1], None)
    return attributes


def _at(document: object, path: Sequence[str | int]) -> object:
    """Return the value at a path.

    A part that is not a key of the document names a member of a union: it is skipped.
    """
    found = document
    for part in path:
        if isinstance(found, dict):
            found = found.get(part, found)
        elif isinstance(found, list) and isinstance(part, int):
            found = found[part]
    return found


def _errors_with(
    model: type[BaseModel],
    attributes: dict[str, object],
    place: Sequence[str],
    key: str,
    value: object,
) -> int:
    """Return the number of errors with a key at a place; the keys that lead to it are added."""
    changed = copy.deepcopy(attributes)
    target = changed
    for part in place[1:]:
        nested = target.get(part)
        if not isinstance(nested, dict):
            nested = {}
            target[part] = nested
        target = nested
    target[key] = value
    try:
        model.model_validate(changed)
    except ValidationError as error:
        return error.error_count()
    return 0
