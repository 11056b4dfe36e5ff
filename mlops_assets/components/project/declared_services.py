"""The problems of declared services that one declaration alone does not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mlops_assets.text.listing import named

if TYPE_CHECKING:
    from mlops_assets.components.project.declarations import Declaration, DeclarationProblem


def retrained_model(declaration: Declaration) -> str | None:
    """Return the model that a service retrains, whose lifecycle must be there; else None."""
    if declaration.kind != "ModelService":
        return None
    retrains = declaration.find("attributes", "retrain", "enabled") is True
    return declaration.attribute("model") if retrains else None


def service_problems(declarations: Sequence[Declaration]) -> Iterator[DeclarationProblem]:
    """Yield services of one model, whose assets would be the same, and of models without lifecycle.

    A model that was imported is served and watched without a declaration, but cannot be retrained.

    Args:
        declarations: all of the project.
    """
    first: dict[str, Declaration] = {}
    models = {d.attribute("name") for d in declarations if d.kind == "TrainedModel"}
    there = named(sorted(name for name in models if name)) or "none"
    for declaration in declarations:
        if declaration.kind != "ModelService":
            continue
        keys = ("attributes", "model")
        model = declaration.attribute("model")
        if model is not None and first.setdefault(model, declaration) is not declaration:
            other = first[model]
            message = f"{model!r} has a service at {other.where(*keys)} too; remove one"
            yield declaration.problem(keys, message, other)
        retrained = retrained_model(declaration)
        if retrained is not None and retrained not in models:
            message = (
                f"no TrainedModel is called {retrained!r}, so that it cannot be retrained; there is"
                f" {there}"
            )
            yield declaration.problem(keys, message)
