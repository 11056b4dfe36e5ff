"""The header of every page: workspace, navigation, search and the menu of the user."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from nicegui import ui

from mlops_assets.hub.orchestration.links import PREFIX as DAGSTER
from mlops_assets.hub.pages.caller import hub
from mlops_assets.hub.pages.parts.texts import text
from mlops_assets.principals import Principal, Role
from mlops_assets.text.secret_urls import redacted

SECTIONS = {"Home": "/", "Training data": "/data", "Runs": "/runs", "Models": "/models"}
API_DOCUMENT = "/api/v1/openapi.json"


def header(path: str, user: Principal) -> None:
    """Build the header.

    Args:
        path: of the page, whose section is marked.
        user: who sees it.
    """
    workspace = hub().store.workspace.url
    with ui.header(wrap=False).classes("hub-header"):
        with ui.element("div").classes("hub-brand"):
            ui.link("mlops_assets", "/")
            # guests and viewers need not know where it is
            place = redacted(workspace) if Role.OPERATOR in user.roles else ""
            text("span", workspace_name(workspace), "hub-workspace", title=place)
        with ui.element("nav").classes("hub-nav hub-wide").props('aria-label="Main"'):
            _sections(path)
        ui.element("div").classes("hub-grow")
        with ui.element("div").classes("hub-wide"):
            search_form()
        _theme_button()
        with _menu(user.name, "hub-wide", f"Menu of {user.name}"):
            _user_entries(user)
        with _menu("Menu", "hub-small", "Menu"):
            search_form()
            with ui.element("nav").classes("flex flex-col").props('aria-label="Main"'):
                _sections(path)
            _user_entries(user)


def workspace_name(url: str) -> str:
    """Return a short name of a workspace: its folder; that of its project if it has the default."""
    parts = [part for part in unquote(urlsplit(url).path).split("/") if part]
    if parts and parts[-1] == "workspace" and len(parts) > 1:
        return parts[-2]
    return parts[-1] if parts else urlsplit(url).netloc


def search_form(value: str = "", label: str = "Quick search") -> None:
    """Add the box that searches everything; it works without a connection to this page.

    Args:
        value: in the box.
        label: of the form, which tells it from others of the page.
    """
    with ui.element("form").classes("hub-search") as form:
        form.props.update(
            {"action": "/search", "method": "get", "role": "search", "aria-label": label}
        )
        ui.element("input").props.update(
            {
                "type": "search",
                "name": "q",
                "value": value,
                "placeholder": "Search, or paste a reference  /",
                "aria-label": "Search data, runs, models and files",
                "maxlength": 10_000,
                "autocomplete": "off",
            }
        )


def _sections(path: str) -> None:
    for name, target in SECTIONS.items():
        link = ui.link(name, target)
        current = path == "/" if target == "/" else f"{path}/".startswith(f"{target}/")
        if current:
            link.props["aria-current"] = "page"


def _menu(label: str, classes: str, title: str) -> ui.element:
    """Add a menu that opens by mouse or keyboard, without a round trip; return its body."""
    with ui.element("details").classes(f"hub-menu {classes}"):
        text("summary", label).props["aria-label"] = title
        return ui.element("div").classes("hub-menu-body")


def _user_entries(user: Principal) -> None:
    with ui.element("div").classes("hub-who"):
        text("div", user.name)
        text("span", ", ".join(sorted(user.roles)) or "no role")
    ui.link("Dagster", f"{DAGSTER}/")
    ui.link("API (OpenAPI)", API_DOCUMENT)
    ui.link("STAC API", "/stac")
    if hub().local is None:
        with ui.element("form").props("action=/sign-out method=post"):
            text("button", "Sign out", "hub-button").props["type"] = "submit"


def _theme_button() -> None:
    with ui.element("button").classes("hub-button hub-icon") as button:
        button.props.update(
            {
                "type": "button",
                "data-theme-toggle": "",
                "aria-label": "Switch between light and dark",
                "title": "Switch between light and dark",
            }
        )
        ui.icon("contrast", size="20px").props["aria-hidden"] = "true"
