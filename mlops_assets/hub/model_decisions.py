"""Decisions on model versions, as buttons and routes make them, with what follows from each.

They are those of the commands of the same names. What has changed since a user has opened the
version refuses a decision, unless it was made on purpose without a seen state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from mlops_assets.components.events.reporting import DagsterReporter
from mlops_assets.errors import Conflict, MlopsError, NameRefused, NotFound, StorageError
from mlops_assets.hub.context import Hub
from mlops_assets.hub.rest.models.schemas import (
    AliasMoved,
    Decided,
    DecisionMade,
    SeenState,
    VisibilitySet,
)
from mlops_assets.hub.views.models.history import model_deployments
from mlops_assets.hub.views.models.version.state import VersionState, require_state
from mlops_assets.models import promotion
from mlops_assets.models.approval import decisions
from mlops_assets.models.approval.reason import check_reason
from mlops_assets.models.approval.standing import approval_check
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference, check_key, check_name
from mlops_assets.principals import Role, Visibility
from mlops_assets.registry import Decision, ModelVersion, Promotion
from mlops_assets.registry.model_versions import role_to_move
from mlops_assets.store import Store

# decisions of others on the same model are waited for; a comparison of versions may take longer
_WAIT_SECONDS = 20.0


class ModelDecisions:
    """Decisions of the principal of a store on one model version."""

    def __init__(self, store: Store, hub: Hub, model: str, version: str) -> None:
        """Find the version.

        Args:
            store: workspace and registry; its principal decides.
            hub: has the declarations.
            model: name of the model.
            version: its version, not an alias, which may move between reading and deciding.

        Raises:
            NameRefused: an alias is named.
            NotFound: there is no such version.
        """
        self._hub = hub
        self._store = store
        reference = Reference(check_name(model, "model"), check_key(version, "version"))
        self._row: ModelVersion = store.registry.model_version(reference)
        if self._row.version != version:
            raise NameRefused(
                f"{version!r} is an alias, which may move; name the version, {self._row.version}"
            )

    def decide(
        self, decision: Literal["approved", "rejected"], reason: str, seen: SeenState | None = None
    ) -> DecisionMade:
        """Approve or reject the version; approved, it is promoted where that is declared."""
        row, declared = self._row, self._declared()
        with self._undisturbed(Role.APPROVER, f"decide on {row.model}@{row.version}", seen):
            if decision == "approved":
                made = decisions.approve(self._store, row, declared.approval, reason)
            else:
                made = decisions.reject(self._store, row, reason)
        notes: list[str] = []
        if declared.approval.required:
            check = approval_check(self._store.registry, row, declared.approval)
            notes += _reported(
                self._store, self._hub, declared, lambda reporter: reporter.decided(row, check)
            )
        moved = None
        automatic = declared.auto_promote and declared.approval.protects("production")
        if decision == "approved" and automatic:
            try:
                moved = self.promote("production", reason)
            except MlopsError as error:
                notes.append(f"it was not promoted: {error}")
        return _made(row, made, decision, moved, notes)

    def deprecate(
        self, reason: str, undo: bool = False, force: bool = False, seen: SeenState | None = None
    ) -> DecisionMade:
        """Deprecate the version, or reinstate it; see `decisions.deprecate`."""
        row = self._row
        with self._undisturbed(Role.APPROVER, f"decide on {row.model}@{row.version}", seen):
            made = decisions.deprecate(self._store, row, reason, undo, force)
        return _made(row, made, "reinstated" if undo else "deprecated", None, [])

    def promote(self, alias: str, reason: str | None, seen: SeenState | None = None) -> AliasMoved:
        """Move an alias to the version, past the gates that are declared."""
        row, declared = self._row, self._declared()
        with self._undisturbed(role_to_move(alias), f"move alias {alias}", seen):
            moved = promotion.promote(
                self._store, row, declared.gates, alias, declared.approval, reason
            )
        notes = _reported(
            self._store, self._hub, declared, lambda reporter: reporter.promoted(row, moved)
        )
        before = None if seen is None else seen.aliases.get(alias)
        if seen is not None and moved.previous != before:
            # by a command, while gates were compared
            notes.append(f"{alias} was moved to {moved.previous or 'nothing'} meanwhile")
        return _alias_moved(self._store, moved, notes)

    def set_visibility(
        self, visibility: Visibility, reason: str | None = None, seen: SeenState | None = None
    ) -> VisibilitySet:
        """Change who may see the version."""
        # imports pystac, which other decisions do not need
        from mlops_assets.stac.visibility import set_visibility

        row = self._row
        check_reason(reason)
        self._store.registry.require_owner(row, f"make {row.model}@{row.version} {visibility}")
        previous = row.visibility
        warnings: list[str] = []
        with self._undisturbed(Role.SCIENTIST, f"make it {visibility}", seen):
            if previous != visibility:
                warnings = set_visibility(self._store, row, visibility, reason)
        return VisibilitySet(
            model=row.model,
            version=row.version,
            visibility=visibility,
            previous=previous,
            notes=warnings,
        )

    def _declared(self) -> ModelSpecification:
        return declaration(self._hub, self._row.model)

    @contextmanager
    def _undisturbed(self, role: Role, action: str, seen: SeenState | None) -> Iterator[None]:
        """Hold off decisions of other users of hubs, and check that the state is as it was seen."""
        # before anything is waited for
        self._store.registry.principal.require(role, action)
        with self._store.registry.lock(f"decisions on {self._row.model}", _WAIT_SECONDS):
            if seen is not None:
                row = self._store.registry.model_version(
                    Reference(self._row.model, self._row.version)
                )
                require_state(self._store, row, VersionState(**seen.model_dump()))
            yield


def roll_back(
    store: Store, hub: Hub, model: str, reason: str | None = None, production: str | None = None
) -> AliasMoved:
    """Move `production` of a model back to its previous version.

    Args:
        store: workspace and registry; its principal moves it.
        hub: has the declarations.
        model: name of the model.
        reason: why.
        production: version that was in production when this was decided; any if None.

    Raises:
        Conflict: another version is in production by now.
        NotFound: the model is not declared, or nothing was in production before.
    """
    declared = declaration(hub, check_name(model, "model"))
    store.registry.principal.require(role_to_move("production"), "move alias production")
    with store.registry.lock(f"decisions on {model}", _WAIT_SECONDS):
        now = store.registry.aliases(model).get("production")
        if production is not None and now != production:
            raise Conflict(
                f"{model}@production is {now or 'not set'} by now, not {production}; load it"
                " again, then decide"
            )
        moved = promotion.rollback(store, model, declared.approval, reason)
    row = store.registry.model_version(Reference(model, moved.version))
    notes = _reported(store, hub, declared, lambda reporter: reporter.promoted(row, moved))
    return _alias_moved(store, moved, notes)


def declaration(hub: Hub, model: str) -> ModelSpecification:
    """Return the declaration of a model.

    Raises:
        NotFound: the project does not declare it.
        SpecificationError: it is declared wrongly.
    """
    declared = hub.models.get(model)
    if declared is None:
        raise NotFound(f"the project of this server does not declare the model {model}")
    return declared


def _reported(
    store: Store, hub: Hub, declared: ModelSpecification, report: Callable[[DagsterReporter], None]
) -> list[str]:
    """Report to Dagster; return what it did not record, as the registry has it."""
    with DagsterReporter(store, declared, hub.dagster_home) as reporter:
        try:
            report(reporter)
        except StorageError as error:
            return [str(error)]
    return []


def _made(
    row: ModelVersion,
    made: Decision,
    decision: Decided,
    moved: AliasMoved | None,
    notes: list[str],
) -> DecisionMade:
    return DecisionMade(
        model=row.model,
        version=row.version,
        decision=decision,
        reason=made.reason,
        decided=made.decided,
        decided_by=made.decided_by,
        sha256=made.sha256,
        promoted=moved,
        notes=notes,
    )


def _alias_moved(store: Store, moved: Promotion, notes: list[str]) -> AliasMoved:
    active = [made for made in model_deployments(store, moved.model) if made.active]
    return AliasMoved(
        alias=moved.alias,
        version=moved.version,
        previous=moved.previous,
        moved=moved.moved,
        moved_by=moved.moved_by,
        services=sorted({made.service for made in active}),
        notes=notes,
    )
