"""Dialogs that ask for what an action needs, such as its reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from nicegui import ui

from mlops_assets.hub.pages.parts.texts import text
from mlops_assets.models.approval.reason import MAX_REASON
from mlops_assets.principals import Visibility

_CIRCLES = {
    Visibility.PRIVATE.value: "private: its creator and operators",
    Visibility.WORKSPACE.value: "workspace: all who may read the workspace",
    Visibility.PUBLISHED.value: "published: guests, too",
}


async def ask(
    title: str,
    verb: str,
    fields: Callable[[], Callable[[], Awaitable[object | None]]],
    detail: str = "",
) -> object | None:
    """Show a dialog until its action returns something, or its user closes it.

    Args:
        title: of the dialog.
        verb: on the button.
        fields: adds the fields, and returns what acts with their values.
        detail: what the action does and what follows.

    Returns:
        The result of the action; None if the user has closed the dialog. As long as the action
        returns None, as `perform` does where it fails, the dialog stays open.
    """
    done: list[object] = []
    with ui.dialog() as dialog, ui.card().classes("hub-dialog"):
        dialog.props["aria-label"] = title
        text("h2", title)
        if detail:
            text("p", detail, "hub-note")
        act = fields()

        async def press() -> None:
            button.disable()  # a second click acts once
            try:
                result = await act()
            finally:
                button.enable()
            if result is not None:
                done.append(result)
                dialog.close()

        with ui.row().classes("w-full justify-end"):
            ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
            button = ui.button(verb, on_click=press).props("no-caps unelevated")
    try:
        await dialog
    finally:
        dialog.delete()
    return done[0] if done else None


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

    def fields() -> Callable[[], Awaitable[object | None]]:
        reason = _reason(required).props("autofocus")

        async def act() -> object | None:
            entered = str(reason.value or "").strip()
            if required and not entered:
                reason.error = "Enter a reason; it is kept in the history."
                return None
            return await function(entered)

        return act

    return await ask(title, verb, fields, detail)


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

    def fields() -> Callable[[], Awaitable[object | None]]:
        chosen = ui.select(dict(options), value=next(iter(options)), label=label)
        chosen.props("outlined").classes("w-full")
        reason = _reason(required=False)

        async def act() -> object | None:
            return await function(str(chosen.value), str(reason.value or "").strip())

        return act

    return await ask(title, verb, fields, detail)


async def ask_visibility(
    name: str,
    now: str,
    function: Callable[[Visibility, str], Awaitable[object | None]],
    detail: str = "",
) -> object | None:
    """Ask who may see a version, and why, and act; see `ask_choice`.

    Args:
        name: reference to the version.
        now: its visibility; chosen.
        function: acts with the visibility and the reason.
        detail: what follows.

    Returns:
        The result of `function`; None if the user has closed the dialog.
    """

    async def act(circle: str, reason: str) -> object | None:
        return await function(Visibility(circle), reason)

    circles = {now: _CIRCLES.get(now, now), **_CIRCLES}
    detail = f"Now it is {now}. {detail}".strip()
    return await ask_choice(
        f"Visibility of {name}", "Set", act, ("Who may see it", circles), detail
    )


def _reason(required: bool) -> ui.textarea:
    reason = ui.textarea("Reason" if required else "Reason (optional)")
    return reason.props(f"outlined autogrow maxlength={MAX_REASON}").classes("w-full")
