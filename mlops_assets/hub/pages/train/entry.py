"""The state of the form while it is filled in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from nicegui import ui

from mlops_assets.hub.views.addresses import TRAIN
from mlops_assets.hub.views.training.check import Checked, check_draft
from mlops_assets.hub.views.training.draft import Draft
from mlops_assets.hub.views.training.form import TrainingForm
from mlops_assets.models.specification import ModelSpecification


@dataclass
class Entry:
    """What has been entered, and who shows it.

    Attributes:
        form: the form of the model.
        declared: the model.
        draft: the texts so far.
        data: version that is trained on; None if there is none.
        checked: the draft, checked.
        shown: called after each change.
    """

    form: TrainingForm
    declared: ModelSpecification
    draft: Draft
    data: str | None
    checked: Checked
    shown: list[Callable[[], None]] = field(default_factory=list)

    @classmethod
    def begin(cls, form: TrainingForm, declared: ModelSpecification, draft: Draft) -> Entry:
        """Return the state of a form that begins with a draft."""
        return cls(
            form, declared, draft, form.selected, check_draft(declared, draft, form.selected)
        )

    def put(self, group: str, name: str, text: str | None) -> None:
        """Change one text of a group; None is the default."""
        self._change(self.draft.with_text(group, name, text))

    def set(self, **texts: str | bool) -> None:
        """Change texts that are in no group."""
        self._change(replace(self.draft, **texts))  # type: ignore[arg-type]

    def choose(self, data: str) -> None:
        """Train on another data version."""
        self.data = data
        self._take(replace(self.draft, data=data))

    def _change(self, draft: Draft) -> None:
        if draft != self.draft:
            self._take(draft)

    def _take(self, draft: Draft) -> None:
        """Check another draft, show it, and keep it in the address of the page."""
        self.draft = draft
        self.checked = check_draft(self.declared, draft, self.data)
        for show in self.shown:
            show()
        address = draft.address(TRAIN, model=self.form.model)
        if address is not None:
            ui.navigate.history.replace(address)
