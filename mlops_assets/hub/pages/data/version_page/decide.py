"""Dialogs that give a data version a tag, or change who may see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from mlops_assets.hub.data_decisions import VisibilityChanged, change_visibility, give_tag
from mlops_assets.hub.pages.caller import perform
from mlops_assets.hub.pages.parts import dialogs
from mlops_assets.hub.views.data.version import DataVersionView
from mlops_assets.names import Reference
from mlops_assets.principals import Visibility


async def ask_tag(found: DataVersionView) -> None:
    """Ask for a tag of a data version, and give it."""
    reference = Reference.parse(found.version.reference)

    def fields() -> Callable[[], Awaitable[object | None]]:
        tag = ui.input("Tag, such as harvest-2024").props("outlined autofocus maxlength=100")
        tag.classes("w-full")

        async def act() -> object | None:
            return await perform(give_tag, reference, str(tag.value or "").strip())

        return act

    await dialogs.ask(
        f"Tag {reference}", "Add the tag", fields, "A tag never moves to another version."
    )


async def ask_visibility(found: DataVersionView) -> None:
    """Ask who may see a data version, and why, and change it."""
    reference = Reference.parse(found.version.reference)

    async def act(circle: Visibility, reason: str) -> VisibilityChanged | None:
        return await perform(change_visibility, reference, circle, reason or None)

    made = await dialogs.ask_visibility(str(reference), found.version.visibility, act)
    if isinstance(made, VisibilityChanged):
        for warning in made.warnings:
            ui.notify(warning, type="warning", multi_line=True)
