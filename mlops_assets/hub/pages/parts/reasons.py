"""The dialog that asks for the reason of an action."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from mlops_assets.hub.pages.parts.texts import text
from mlops_assets.models.approval.reason import MAX_REASON


async def ask_reason(
    title: str,
    verb: str,
    function: Callable[[str], Awaitable[object | None]],
    detail: str = "",
    required: bool = True,
) -> object | None:
    """Ask for a reason, and act; what was entered stays while the action fails.

    Args:
        title: of the dialog, such as `Approve indian_pines_cnn@v2-50fc1202`.
        verb: on the button, such as `Approve`.
        function: acts with the reason; None as its result, as of `perform`, keeps the dialog open.
        detail: what the action does and what follows.
        required: whether the reason may be left out.

    Returns:
        The result of `function`; None if the user has closed the dialog.
    """
    done: list[object] = []
    with ui.dialog() as dialog, ui.card().classes("hub-dialog"):
        dialog.props["aria-label"] = title
        text("h2", title)
        if detail:
            text("p", detail, "hub-note")
        reason = ui.textarea("Reason" if required else "Reason (optional)")
        reason.props(f"outlined autogrow autofocus maxlength={MAX_REASON}").classes("w-full")

        async def act() -> None:
            entered = str(reason.value or "").strip()
            if required and not entered:
                reason.error = "Enter a reason; it is kept in the history."
                return
            button.disable()  # a second click acts once
            try:
                result = await function(entered)
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
