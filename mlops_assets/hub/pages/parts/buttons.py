"""Buttons, and why a user may not press one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from mlops_assets.hub.pages.caller import principal
from mlops_assets.hub.pages.parts.texts import text
from mlops_assets.principals import Role


def button(
    label: str, act: Callable[[], Awaitable[object]], refused: str | None = None
) -> ui.element:
    """Add a button; one that its user may not use is disabled, and states why.

    Args:
        label: of the button.
        act: is called when it is pressed.
        refused: why its user may not; None if they may.
    """
    element = ui.element("button").classes("hub-button")
    element.props["type"] = "button"
    with element:
        text("span", label)
    if refused is None:
        element.on("click", act)
    else:
        element.props["disabled"] = True
        element.props["title"] = refused
    return element


def refusal(role: Role, action: str) -> str | None:
    """Return why the user may not do something; None if they may.

    Args:
        role: that it needs.
        action: such as "tag data".
    """
    user = principal()
    if role in user.roles:
        return None
    return f"{user.name} may not {action}: this needs the role {role}"
