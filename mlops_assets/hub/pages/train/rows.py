"""The rows of the form: a parameter with its description, its value, and the values to search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.validation_element import ValidationElement
from nicegui.events import ValueChangeEventArguments

from mlops_assets.hub.pages.parts.texts import text
from mlops_assets.hub.pages.train.entry import Entry
from mlops_assets.hub.views.training.fields import FormField
from mlops_assets.hub.views.training.search import proposal

_ROW = "grid grid-cols-1 sm:grid-cols-[minmax(0,1fr)_minmax(220px,300px)] gap-x-6 gap-y-1"
_INPUT = "outlined dense hide-bottom-space debounce=250"
_NOT_SET = "not set"
# longer values are entered on several lines
_MAX_LINE = 40


def rows(entry: Entry, group: str, fields: list[FormField], searchable: bool = False) -> None:
    """Add a row for each field.

    Args:
        entry: gets what is entered.
        group: of the draft: `parameters`, `compute` or `search`.
        fields: the fields.
        searchable: whether a sweep can search them.
    """
    for found in fields:
        Row(entry, group, found, searchable)


@contextmanager
def described(name: str, description: str) -> Iterator[ui.element]:
    """Build a row with a name and what it means, around the input that is added within.

    Yields:
        The element beside the name, for marks and buttons.
    """
    with ui.element("div").classes(_ROW):
        with ui.element("div").classes("min-w-0"):
            with ui.element("div").classes(
                "flex flex-wrap items-center gap-2 min-h-[28px]"
            ) as beside:
                text("code", name)
            text("p", description, "hub-note")
        with ui.element("div").classes("min-w-0 flex flex-col gap-1"):
            yield beside


class Row:
    """A row of one field."""

    def __init__(
        self,
        entry: Entry,
        group: str,
        field: FormField,
        searchable: bool,
        remove: Callable[[], None] | None = None,
    ) -> None:
        """Add the row.

        Args:
            entry: gets what is entered.
            group: of the draft.
            field: the field.
            searchable: whether a sweep can search it.
            remove: removes what the field is of, where the user has added it.
        """
        self._entry = entry
        self._group = group
        self._field = field
        self._default = "" if field.required else field.text(field.default)
        self._added = remove is not None
        self._search: ui.checkbox | None = None
        self._space: ui.input | None = None
        with described(field.name, _description(field)) as beside:
            self._value = self._add_value()
            if searchable:
                self._space = self._add_space()
        with beside:
            if searchable:
                self._search = self._add_search()
            self._mark = text("span", "changed", "hub-state hub-state-busy")
            if remove is None:
                self._reset = _small_button("Reset", field.name, self._reset_value)
            else:
                self._reset = _small_button("Remove", field.name, remove)
        entry.shown.append(self.show)
        self.show()

    def _texts(self) -> Mapping[str, str]:
        found: Mapping[str, str] = getattr(self._entry.draft, self._group)
        return found

    def _add_value(self) -> ui.switch | ui.select | ui.input | ui.textarea:
        field = self._field
        value = self._texts().get(field.name, self._default)
        element: ui.switch | ui.select | ui.input | ui.textarea
        if field.kind == "boolean" and value in ("true", "false"):
            element = ui.switch(value=value == "true", on_change=self._changed)
            element.props("dense")
        elif field.kind == "choice":
            options = {field.text(each): field.text(each) or _NOT_SET for each in field.choices}
            # a value that is not valid is shown with its problem
            options.setdefault(value, value or _NOT_SET)
            element = ui.select(options, value=value, on_change=self._changed).props(_INPUT)
        elif len(self._default) > _MAX_LINE:
            element = ui.textarea(value=value, on_change=self._changed).props(f"{_INPUT} autogrow")
        else:
            element = ui.input(value=value, on_change=self._changed).props(_INPUT)
            if field.kind in ("integer", "number"):
                element.props("inputmode=decimal").classes("hub-number")
            if field.nullable:
                element.props["placeholder"] = _NOT_SET
        element.classes("w-full")
        element.props["aria-label"] = field.name
        return element

    def _add_search(self) -> ui.checkbox:
        name = self._field.name
        found = name in self._entry.draft.space
        search = ui.checkbox("Search", value=found, on_change=self._searched).props("dense size=sm")
        search.props["aria-label"] = f"Search {name}"
        return search

    def _add_space(self) -> ui.input:
        field = self._field
        found = self._entry.draft.space.get(field.name)
        start = found if found is not None else proposal(field)
        space = ui.input(value=start, on_change=self._space_changed).props(_INPUT)
        space.classes("w-full").props["aria-label"] = f"Values of {field.name} to search"
        return space

    def _changed(self, event: ValueChangeEventArguments[Any]) -> None:
        value = event.value
        entered = str(value).lower() if isinstance(value, bool) else str(value or "")
        self._entry.put(
            self._group, self._field.name, None if entered == self._default else entered
        )

    def _reset_value(self) -> None:
        self._value.value = (
            self._default == "true" if isinstance(self._value, ui.switch) else self._default
        )

    def _searched(self, event: ValueChangeEventArguments[Any]) -> None:
        if self._space is not None:
            self._entry.put("space", self._field.name, self._space.value if event.value else None)

    def _space_changed(self, event: ValueChangeEventArguments[Any]) -> None:
        if self._search is not None and self._search.value:
            self._entry.put("space", self._field.name, event.value or "")

    def show(self) -> None:
        """Show what has been entered, and what is wrong with it."""
        name, draft, problems = self._field.name, self._entry.draft, self._entry.checked.problems
        searched = draft.sweep and name in draft.space and self._group == "parameters"
        differs = name in self._texts() and not searched
        self._mark.set_visibility(differs)
        self._reset.set_visibility(differs or self._added)
        self._value.set_visibility(not searched)
        if isinstance(self._value, ValidationElement):
            self._value.error = problems.get(f"{self._group}.{name}")
        if self._search is not None and self._space is not None:
            self._search.set_visibility(draft.sweep)
            self._space.set_visibility(searched)
            self._space.error = problems.get(f"space.{name}")


def _small_button(verb: str, name: str, function: Callable[[], None]) -> ui.button:
    button = ui.button(verb, on_click=function).props("flat dense no-caps size=sm")
    button.props["aria-label"] = f"{verb} {name}"
    return button


def _description(field: FormField) -> str:
    default = f"default {field.text(field.default) or _NOT_SET}"
    if field.required:
        default = "required"
    elif not field.known:
        default = "not listed by the trainer"
    parts = [field.description, field.limits, default]
    return " · ".join(part.rstrip(".") for part in parts if part)
