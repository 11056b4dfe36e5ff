"""The buttons of decisions on a model version, each with a dialog that states what follows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

from nicegui import ui

from mlops_assets.hub.model_decisions import ModelDecisions
from mlops_assets.hub.pages.caller import hub, perform
from mlops_assets.hub.pages.parts.buttons import button
from mlops_assets.hub.pages.parts.dialogs import ask_choice, ask_reason, ask_visibility
from mlops_assets.hub.pages.parts.texts import text
from mlops_assets.hub.rest.models.schemas import (
    AliasMoved,
    DecisionMade,
    SeenState,
    VisibilitySet,
)
from mlops_assets.hub.views.models.version.view import VersionView
from mlops_assets.principals import Visibility
from mlops_assets.store import Store


class DecisionButtons:
    """Buttons that decide on the version of a page as it was when they were shown."""

    def __init__(
        self, view: VersionView, dialogs: ui.element, refresh: Callable[[], Awaitable[object]]
    ) -> None:
        """Keep the state that decisions are made on.

        Args:
            view: the version, as the user sees it.
            dialogs: element that contains dialogs, and is not cleared by updates.
            refresh: updates the page.
        """
        self._view = view
        self._dialogs = dialogs
        self._refresh = refresh
        self._name = f"{view.model}@{view.version}"
        state = view.state
        self._seen = SeenState(
            aliases=state.aliases, decisions=state.decisions, visibility=state.visibility
        )

    def show(self) -> None:
        """Add the buttons; those that the user may not use are disabled."""
        view, rights = self._view, self._view.rights
        with ui.element("div").classes("hub-row hub-actions"):
            button("Approve…", lambda: self._decide("approved"), rights.approve)
            button("Reject…", lambda: self._decide("rejected"), rights.reject)
            refused = rights.promote if rights.candidate is not None else None
            button("Promote…", self._promote, refused)
            if view.deprecated is None:
                button("Deprecate…", lambda: self._deprecate(False), rights.deprecate)
            else:
                button("Reinstate…", lambda: self._deprecate(True), rights.deprecate)
            button("Visibility…", self._visibility, rights.visibility)
        refusals = dict.fromkeys(
            why for why in (rights.approve, rights.promote, rights.visibility) if why is not None
        )
        for why in refusals:
            text("p", why, "hub-note")

    def _decisions(self, store: Store) -> ModelDecisions:
        return ModelDecisions(store, hub(), self._view.model, self._view.version)

    async def _decide(self, decision: Literal["approved", "rejected"]) -> None:
        async def act(reason: str) -> DecisionMade | None:
            return await perform(
                lambda store: self._decisions(store).decide(decision, reason, self._seen)
            )

        verb = "Approve" if decision == "approved" else "Reject"
        with self._dialogs:
            made = await ask_reason(f"{verb} {self._name}", verb, act, self._consequence(decision))
        if isinstance(made, DecisionMade):
            moved = made.promoted
            lines = [f"{self._name} is {made.decision}"]
            if moved is not None:
                lines.append(f"production moved here from {moved.previous or 'nothing'}")
            await self._done([*lines, *made.notes])

    def _consequence(self, decision: Literal["approved", "rejected"]) -> str:
        """Return what follows from a decision."""
        view = self._view
        lines = [self._state()]
        if not view.approval.required:
            lines.append("This model requires no approval; the decision is kept in its history.")
        if decision == "approved":
            lines.append(
                "The approval is of model.onnx and metrics.json as they are now, which are"
                " verified first."
            )
            if view.auto_promote:
                lines.append("Then production moves to this version, if its gates pass.")
        elif "production" in view.aliases:
            lines.append("It stays in production: roll back to take it out.")
        return " ".join(lines)

    def _state(self) -> str:
        """Return the state that a decision is made on."""
        aliases = self._view.state.aliases
        named = ", ".join(f"{alias} is {version}" for alias, version in sorted(aliases.items()))
        return f"Now {named or 'no alias is set'}."

    async def _promote(self) -> None:
        view = self._view

        async def act(alias: str, reason: str) -> AliasMoved | None:
            return await perform(
                lambda store: self._decisions(store).promote(alias, reason or None, self._seen)
            )

        aliases = ["production", "candidate"]
        aliases += [own for own in view.state.aliases if own not in (*aliases, "previous")]
        if view.rights.promote is not None:
            aliases = ["candidate"]
        lines = [self._state(), "All declared gates run first, which may take minutes."]
        if view.blocked is not None:
            lines.append(f"As things stand production is refused: {view.blocked}.")
        if view.services:
            lines.append(f"Services that follow the alias: {', '.join(view.services)}.")
        with self._dialogs:
            made = await ask_choice(
                f"Promote {self._name}",
                "Promote",
                act,
                ("Alias", {alias: alias for alias in aliases}),
                " ".join(lines),
            )
        if isinstance(made, AliasMoved):
            lines = [f"{made.alias} is {made.version}, was {made.previous or 'not set'}"]
            if made.services:
                lines.append(f"deployed services of this model: {', '.join(made.services)}")
            await self._done([*lines, *made.notes])

    async def _deprecate(self, undo: bool) -> None:
        async def act(reason: str) -> DecisionMade | None:
            return await perform(
                lambda store: self._decisions(store).deprecate(reason, undo, False, self._seen)
            )

        verb = "Reinstate" if undo else "Deprecate"
        detail = (
            "Aliases may move to it again."
            if undo
            else "Its record states it, and no alias moves to it any more."
        )
        with self._dialogs:
            made = await ask_reason(f"{verb} {self._name}", verb, act, f"{self._state()} {detail}")
        if isinstance(made, DecisionMade):
            await self._done([f"{self._name} is {made.decision}", *made.notes])

    async def _visibility(self) -> None:
        async def act(circle: Visibility, reason: str) -> VisibilitySet | None:
            return await perform(
                lambda store: self._decisions(store).set_visibility(
                    circle, reason or None, self._seen
                )
            )

        with self._dialogs:
            made = await ask_visibility(
                self._name,
                self._view.visibility,
                act,
                "The record of a private version leaves the catalogue.",
            )
        if isinstance(made, VisibilitySet):
            await self._done([f"{self._name} is {made.visibility}", *made.notes])

    async def _done(self, lines: list[str]) -> None:
        ui.notify("\n".join(lines), type="positive", multi_line=True)
        await self._refresh()
