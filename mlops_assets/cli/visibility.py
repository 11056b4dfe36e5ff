"""`mlops dataset visibility` and `mlops model visibility`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import advise, console, open_store
from mlops_assets.names import Reference
from mlops_assets.principals import Visibility

if TYPE_CHECKING:
    from mlops_assets.registry import DataVersion, ModelVersion
    from mlops_assets.store import Store

Circle = Annotated[
    Visibility,
    typer.Argument(
        metavar="private|workspace|published",
        help="private: its creator and operators; workspace: all who may read the workspace;"
        " published: guests, too.",
    ),
]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for the log.")]


def data_visibility(
    reference: Annotated[
        str,
        typer.Argument(
            help="dataset@version or dataset@tag.", autocompletion=completion.data_references
        ),
    ],
    visibility: Circle,
    reason: Reason = None,
) -> None:
    """Set who may see a data version.

    The record of a private version moves to the private catalogue.
    """
    store = open_store()
    _set(store, store.registry.data_version(_version_of(reference)), visibility, reason)


def model_visibility(
    reference: Annotated[
        str,
        typer.Argument(
            help="model@version or model@alias.", autocompletion=completion.model_references
        ),
    ],
    visibility: Circle,
    reason: Reason = None,
) -> None:
    """Set who may see a model version.

    The record of a private version moves to the private catalogue.
    """
    store = open_store()
    _set(store, store.registry.model_version(_version_of(reference)), visibility, reason)


def _version_of(text: str) -> Reference:
    wanted = Reference.parse(text)
    if wanted.what is None:
        raise typer.BadParameter(f"name a version of {wanted.name}, e.g. {wanted.name}@v1")
    return wanted


def _set(
    store: Store, row: DataVersion | ModelVersion, visibility: Visibility, reason: str | None
) -> None:
    from mlops_assets.registry.store import version_key
    from mlops_assets.stac.visibility import set_visibility

    name = "@".join(version_key(row))
    if row.visibility == visibility:
        console.print(f"{name} is {visibility} already")
        return
    for warning in set_visibility(store, row, visibility, reason):
        advise(f"warning: {warning}")
    console.print(f"{name} is {visibility}, was {row.visibility}")
