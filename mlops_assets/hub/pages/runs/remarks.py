"""Notes and tags on the page of a run."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from mlops_assets.hub.pages.caller import perform
from mlops_assets.hub.pages.parts.texts import text, when
from mlops_assets.hub.run_remarks import note_run, tag_run
from mlops_assets.hub.views.runs.record import RunRecord, RunTag
from mlops_assets.registry.runs.remarks import MAX_NOTE, MAX_TAG


class Remarks:
    """Notes and tags of a run; what a user is entering stays when others change them."""

    def __init__(
        self, record: RunRecord, may_act: bool, changed: Callable[[RunRecord], None]
    ) -> None:
        """Show those of a run.

        Args:
            record: of the run.
            may_act: whether the user may add some.
            changed: called with the record after a change.
        """
        self._record = record
        self._may_act = may_act
        self._changed = changed

    def build(self) -> None:
        """Add the elements."""
        text("h3", "Tags")
        self._tags = ui.element("div").classes("run-tags")
        if self._may_act:
            with ui.element("form").classes("run-remark") as form:
                form.on("submit.prevent", self._set_tag)
                self._name = ui.input("Name").props(f"outlined dense maxlength={MAX_TAG}")
                self._value = ui.input("Value").props(f"outlined dense maxlength={MAX_TAG}")
                ui.button("Set tag").props("type=submit no-caps outline padding='6px 12px'")
        text("h3", "Notes")
        self._notes = ui.element("div").classes("run-notes")
        if self._may_act:
            with ui.element("form").classes("run-remark") as form:
                form.on("submit.prevent", self._add_note)
                self._note = ui.textarea("Note").props(
                    f"outlined dense autogrow maxlength={MAX_NOTE}"
                )
                self._note.classes("run-note-box")
                ui.button("Add note").props("type=submit no-caps outline padding='6px 12px'")
        self.show(self._record)

    def show(self, record: RunRecord) -> None:
        """Show the notes and tags of a record."""
        self._record = record
        self._tags.clear()
        with self._tags:
            for tag in record.tags:
                self._tag(tag)
            if not record.tags:
                text("p", "No tag. Filters find one as tags.NAME.", "hub-note")
        self._notes.clear()
        with self._notes:
            for note in record.notes:
                with ui.element("div").classes("run-note"):
                    text("p", f"{note.noted_by}, {when(note.noted)}", "hub-note")
                    text("p", note.text, "run-note-text")
            if not record.notes:
                text("p", "No note yet.", "hub-note")

    def _tag(self, tag: RunTag) -> None:
        with ui.element("span").classes("run-tag"):
            text("span", f"{tag.name}: {tag.value}")
            if tag.removable and self._may_act:
                with ui.element("button") as button:
                    button.props.update({"type": "button", "aria-label": f"Remove tag {tag.name}"})
                    text("span", "×").props["aria-hidden"] = "true"
                button.on("click", lambda: self._remove_tag(tag.name))

    async def _set_tag(self) -> None:
        name, value = str(self._name.value or "").strip(), str(self._value.value or "").strip()
        self._name.error = None if name else "Enter a name."
        self._value.error = None if value else "Enter a value."
        if name and value and await self._tagged(name, value):
            self._name.value = self._value.value = ""

    async def _remove_tag(self, name: str) -> None:
        await self._tagged(name, None)

    async def _tagged(self, name: str, value: str | None) -> bool:
        found = await perform(tag_run, self._record.run_id, name, value)
        if found is not None:
            self._changed(found)
        return found is not None

    async def _add_note(self) -> None:
        content = str(self._note.value or "").strip()
        self._note.error = None if content else "Enter a text."
        if not content:
            return
        found = await perform(note_run, self._record.run_id, content)
        if found is not None:
            self._note.value = ""
            self._changed(found)
