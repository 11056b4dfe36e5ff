"""Code to copy."""

from __future__ import annotations

from collections.abc import Mapping

from nicegui import ui

from mlops_assets.hub.pages.parts.texts import text


def copy_button(content: str, what: str = "Copy") -> None:
    """Add a button that copies text, without a round trip to the server."""
    with ui.element("button").classes("hub-copy") as button:
        button.props.update({"type": "button", "data-copy": content, "aria-label": what})
        text("span", "Copy").props["aria-live"] = "polite"


def snippets(codes: Mapping[str, str], title: str = "Code to copy") -> None:
    """Add tabs of code, each with a button that copies it.

    Args:
        codes: label of the tab → code.
        title: of the tabs, for those who do not see them.
    """
    with ui.tabs().props("dense align=left no-caps inline-label").classes("hub-tabs") as tabs:
        tabs.props["aria-label"] = title
        names = {label: ui.tab(label) for label in codes}
    first = next(iter(names), None)
    with ui.tab_panels(tabs, value=first).classes("w-full hub-panels"):
        for label, code in codes.items():
            with ui.tab_panel(names[label]), ui.element("div").classes("hub-code"):
                block = text("pre", code)
                block.props.update({"tabindex": 0, "role": "region", "aria-label": label})
                copy_button(code, f"Copy {label}")
