"""Dialogs that give a data version a tag, or change who may see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from mlops_assets.hub.data_decisions import change_visibility, give_tag
from mlops_assets.hub.pages.caller import perform
from mlops_assets.hub.pages.parts.texts import text
from mlops_assets.hub.views.data.version import DataVersionView
from mlops_assets.models.approval.reason import MAX_REASON
from mlops_assets.names import Reference
from mlops_assets.principals import Visibility

CIRCLES = {
    Visibility.PRIVATE.value: "private: its creator and operators",
    Visibility.WORKSPACE.value: "workspace: all who may read the workspace",
    Visibility.PUBLISHED.value: "published: guests, too",
}


async def ask_tag(found: DataVersionView) -> None:
    """Ask for a tag of a data version, and give it."""
    reference = Reference.parse(found.version.reference)
    with ui.dialog() as dialog, ui.card().classes("hub-dialog"):
        dialog.props["aria-label"] = f"Tag {reference}"
        text("h2", f"Tag {reference}")
        text("p", "A tag never moves to another version.", "hub-note")
        tag = ui.input("Tag, such as harvest-2024").props("outlined autofocus maxlength=100")
        tag.classes("w-full")

        async def act() -> None:
            if await perform(give_tag, reference, str(tag.value or "").strip()) is not None:
                dialog.close()

        _buttons("Add the tag", act, dialog)
    await dialog
    dialog.delete()


async def ask_visibility(found: DataVersionView) -> None:
    """Ask who may see a data version, and why, and change it."""
    reference = Reference.parse(found.version.reference)
    with ui.dialog() as dialog, ui.card().classes("hub-dialog"):
        dialog.props["aria-label"] = f"Visibility of {reference}"
        text("h2", f"Visibility of {reference}")
        circle = ui.select(CIRCLES, value=found.version.visibility, label="Who may see it")
        circle.props("outlined").classes("w-full")
        reason = ui.textarea("Reason, for the log")
        reason.props(f"outlined autogrow maxlength={MAX_REASON}").classes("w-full")

        async def act() -> None:
            changed = await perform(
                change_visibility,
                reference,
                Visibility(circle.value),
                str(reason.value or "").strip() or None,
            )
            if changed is not None:
                for warning in changed.warnings:
                    ui.notify(warning, type="warning", multi_line=True)
                dialog.close()

        _buttons("Change", act, dialog)
    await dialog
    dialog.delete()


def _buttons(verb: str, act: Callable[[], Awaitable[None]], dialog: ui.dialog) -> None:
    with ui.row().classes("w-full justify-end"):
        ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
        ui.button(verb, on_click=act).props("no-caps unelevated")
