"""One version: its gates, approval and rights, and what has changed since it was opened."""

from __future__ import annotations

import pytest

from mlops_assets.errors import Conflict
from mlops_assets.hub.views.models.version.rights import rights_on
from mlops_assets.hub.views.models.version.state import require_state, version_state
from mlops_assets.hub.views.models.version.view import version_view
from mlops_assets.models.approval.decisions import deprecate, reject
from mlops_assets.models.gates.outcomes import Evidence, GateOutcome, publish_outcomes
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification


@pytest.fixture
def row(store: Store) -> ModelVersion:
    return lifecycle(store, model_specification(), recorded=True, depth=4)


def test_gates_have_numbers_limits_and_what_would_decide_them(
    store: Store, row: ModelVersion
) -> None:
    evidence = Evidence("v1-0", "fields@v1", "fields", 12, 0, 0.01, -0.02, 0.04, 40)
    outcomes = [
        GateOutcome("accuracy ≥ 0.9", False, 0.8, 0.9),
        GateOutcome(
            "macro_f1 not worse than production",
            *(False, 0.7, 0.6),
            undecided=True,
            evidence=evidence,
        ),
    ]
    publish_outcomes(store, row, outcomes)
    view = version_view(store, model_specification(), Reference("crops", row.version))
    floor, compared = view.gates
    assert (floor.verdict, floor.value, floor.limit) == ("failed", 0.8, 0.9)
    assert (compared.verdict, compared.low, compared.needed) == ("cannot tell", -0.02, 40)
    assert view.verdict == "failed"
    assert view.blocked is not None and "accuracy ≥ 0.9: FAILED at 0.8000" in view.blocked


def test_an_alias_shows_the_version_that_it_names_now(store: Store, row: ModelVersion) -> None:
    store.registry.promote(row, [])
    view = version_view(store, None, Reference("crops", "production"))
    assert (view.asked, view.version, view.aliases) == ("production", row.version, ["production"])
    assert view.run is not None and view.run.run_id == row.run_id
    assert "does not declare the model crops" in str(view.blocked)


def test_damaged_documents_are_listed_and_the_rest_is_shown(
    store: Store, row: ModelVersion
) -> None:
    for name in ("parity.json", "metrics.json"):
        path = store.workspace.root / model_folder("crops", row.version) / name
        path.write_text("{")
    view = version_view(store, None, Reference("crops"))
    assert view.parity is None and view.per_class == [] and view.metrics
    assert [problem.split()[0].rpartition("/")[2] for problem in view.problems] == [
        *("metrics.json", "parity.json"),
    ]


def test_who_may_not_decide_learns_which_role_is_needed(store: Store, row: ModelVersion) -> None:
    declared = model_specification(approval={"required": True, "own_work": False})
    own = rights_on(store, declared, row)
    assert "another approver is to decide" in str(own.approve) and own.reject is None
    scientist = store.acting(Principal("sue", frozenset({Role.SCIENTIST})))
    found = rights_on(scientist, declared, row)
    for refused in (found.approve, found.reject, found.promote, found.deprecate):
        assert "needs the role approver" in str(refused)
    assert found.candidate is None
    assert "ask its creator, tester" in str(found.visibility)


def test_a_decision_on_what_has_changed_since_names_each_change(
    store: Store, row: ModelVersion
) -> None:
    seen = version_state(store, row)
    require_state(store, row, seen)
    ann = store.acting(Principal("ann", frozenset({Role.APPROVER})))
    ann.registry.promote(row, [])
    reject(ann, row, "snow")
    deprecate(ann, row, "too old", force=True)
    store.registry.set_visibility(row, Visibility.PUBLISHED)
    changed = store.registry.model_version(Reference("crops"))
    with pytest.raises(Conflict) as error:
        require_state(store, changed, seen)
    for change in (
        f"production is {row.version}, moved by ann, was not set",
        "it was rejected by ann: snow",
        "it was deprecated by ann: too old",
        "it is published, was workspace",
    ):
        assert change in str(error.value)
    require_state(store, changed, version_state(store, changed))
