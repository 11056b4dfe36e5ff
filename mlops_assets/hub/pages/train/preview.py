"""What will run, and the button that starts it."""

from __future__ import annotations

import json
import shlex

from nicegui import ui

from mlops_assets.hub.pages.caller import hub, perform
from mlops_assets.hub.pages.parts.cards import card, facts
from mlops_assets.hub.pages.parts.references import data_link
from mlops_assets.hub.pages.parts.snippets import snippets
from mlops_assets.hub.pages.parts.texts import duration, text
from mlops_assets.hub.pages.train.entry import Entry
from mlops_assets.hub.views.addresses import launched_path
from mlops_assets.hub.views.training.form import EarlierRuns
from mlops_assets.hub.views.training.preview import SPACE_FILE, Preview, preview_of


class StartCard:
    """The card with the preview and the button."""

    def __init__(self, entry: Entry) -> None:
        """Add the card."""
        self._entry = entry
        self._starting = False
        with card("What will run"):
            self._body = ui.element("div")
            # never replaced: the last field sends its value as the button is pressed
            self._button = ui.button(on_click=self._start)
            self._button.props("unelevated no-caps").classes("w-full")
            if entry.form.refused:
                text("p", f"{entry.form.refused}.", "hub-banner")
        entry.shown.append(self._show)
        self._show()

    def _show(self) -> None:
        checked = self._entry.checked
        self._body.clear()
        with self._body:
            if checked.request is None:
                self._list_problems()
            else:
                self._describe(preview_of(self._entry.form, checked.request))
        self._button.text = "Start sweep" if self._entry.draft.sweep else "Start training"
        refused = bool(self._entry.form.refused) or self._starting
        self._button.set_enabled(checked.request is not None and not refused)

    def _describe(self, preview: Preview) -> None:
        form = self._entry.form
        reference = f"{form.dataset}@{preview.partition}"
        facts(
            {
                "Job": lambda: text("code", preview.job),
                "Data": lambda: data_link(reference),
                "Duration": _duration(preview.seconds, form.earlier),
            }
        )
        codes = {"Command": preview.command}
        if preview.space:
            codes[SPACE_FILE] = preview.space
        codes["curl"] = _curl(preview)
        snippets(codes, "The same from a shell")
        for note in preview.notes:
            text("p", f"{note[0].upper()}{note[1:]}.", "hub-note")

    def _list_problems(self) -> None:
        problems = self._entry.checked.problems
        count = f"{len(problems)} fields need" if len(problems) > 1 else "One field needs"
        with ui.element("div").props("role=status"):
            text("p", f"{count} another value:")
            with ui.element("ul").classes("list-disc pl-5"):
                for place, problem in problems.items():
                    text("li", f"{place.partition('.')[2] or place}: {problem}")

    async def _start(self) -> None:
        request = self._entry.checked.request
        if request is None or self._starting:
            return
        self._starting = True  # a second click of a double click comes before the page has changed
        self._button.disable()
        launched = None
        try:
            launched = await perform(hub().launcher.train, request)
        finally:
            if launched is None:
                self._starting = False
                self._button.enable()
        if launched is not None:
            ui.navigate.to(launched_path(launched.orchestration_run))


def _curl(preview: Preview) -> str:
    """Return the request that starts the same; programs on other machines send a token."""
    base = ui.context.client.request.base_url
    body = json.dumps(preview.body, ensure_ascii=False, indent=1)
    lines = [
        f"curl {base}api/v1/trainings",
        "-H 'Content-Type: application/json'",
        '-H "Authorization: Bearer $MLOPS_API_TOKEN"',
        f"-d {shlex.quote(body)}",
    ]
    return " \\\n  ".join(lines)


def _duration(seconds: float | None, earlier: EarlierRuns | None) -> str:
    if seconds is None or earlier is None:
        return "unknown; no earlier run has succeeded"
    runs = "1 earlier run" if earlier.count == 1 else f"{earlier.count} earlier runs"
    spread = f"{duration(earlier.shortest)} to {duration(earlier.longest)}"
    return f"about {duration(seconds)} ({runs}: {spread} each)"
