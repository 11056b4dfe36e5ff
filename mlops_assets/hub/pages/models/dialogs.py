"""Dialogs of decisions that take more than a reason: an alias, or who may see a version."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from nicegui import ui

from mlops_assets.hub.pages.parts.texts import text
from mlops_assets.models.approval.reason import MAX_REASON


async def ask_choice(
    title: str,
    verb: str,
    function: Callable[[str, str], Awaitable[object | None]],
    choice: tuple[str, Mapping[str, str]],
    detail: str = "",
) -> object | None:
    """Ask for one of several values and a reason, and act; both stay while the action fails.

    Args:
        title: of the dialog.
        verb: on the button.
        function: acts with the value and the reason; None as its result, as of `perform`, keeps
            the dialog open.
        choice: what is asked for, and value → label of each; the first is chosen.
        detail: what the action does and what follows.

    Returns:
        The result of `function`; None if the user has closed the dialog.
    """
    label, options = choice
    done: list[object] = []
    with ui.dialog() as dialog, ui.card().classes("hub-dialog"):
        dialog.props["aria-label"] = title
        text("h2", title)
        if detail:
            text("p", detail, "hub-note")
        chosen = ui.select(dict(options), value=next(iter(options)), label=label)
        chosen.props("outlined").classes("w-full")
        reason = ui.textarea("Reason (optional)")
        reason.props(f"outlined autogrow maxlength={MAX_REASON}").classes("w-full")

        async def act() -> None:
            button.disable()  # a second click acts once
            try:
                result = await function(str(chosen.value), str(reason.value or "").strip())
            finally:
                button.enable()
            if result is not None:
                done.append(result)
                dialog.close()

        with ui.row().classes("w-full justify-end"):
            ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
            button = ui.button(verb, on_click=act).props("no-caps unelevated")
    try:
        await dialog
    finally:
        dialog.delete()
    return done[0] if done else None
