"""Commits of landings that users of the hub start, through Dagster."""

from __future__ import annotations

from mlops_assets.errors import Conflict, EmptyLanding
from mlops_assets.hub.orchestration.launcher import Launched, Launcher
from mlops_assets.hub.views.data.landing import landing_fingerprint
from mlops_assets.principals import Role
from mlops_assets.processing.declared_datasets import DeclaredDatasets
from mlops_assets.store import Store


def start_commit(
    store: Store,
    launcher: Launcher,
    declared: DeclaredDatasets,
    name: str,
    fingerprint: str | None = None,
) -> Launched:
    """Launch the commit of what has landed of a dataset.

    Args:
        store: acts for who asks for it.
        launcher: launches it.
        declared: has the dataset.
        name: of the dataset.
        fingerprint: of the landing as it was previewed; None for whatever has landed.

    Raises:
        Conflict: the landing has changed since.
        Forbidden: the principal may not commit.
        NotFound: the dataset is not declared.
        OrchestratorUnavailable: Dagster is out of reach.
        SpecificationError: the dataset is made from other data, or declared wrongly.
    """
    store.registry.principal.require(Role.SCIENTIST, "commit a data version")
    declared.with_landing(name)
    if fingerprint is not None and fingerprint != _present(store, declared, name):
        raise Conflict(
            f"the landing of {name} has changed since it was previewed; preview it again, then"
            " commit"
        )
    return launcher.commit(store, name)


def _present(store: Store, declared: DeclaredDatasets, name: str) -> str:
    try:
        return landing_fingerprint(store, declared, name)
    except EmptyLanding:
        return ""
