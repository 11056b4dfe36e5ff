"""Registrations follow from records and visibility, through outages, refusals and crashes."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import delete, event, insert

from mlops_assets.discovery.registration.catalogue import CatalogueError
from mlops_assets.discovery.registration.plan import LAST_RETRY, Due
from mlops_assets.discovery.registration.registrar import Registrar, open_registrar
from mlops_assets.errors import Forbidden
from mlops_assets.models.verify import verify_all
from mlops_assets.names import Reference
from mlops_assets.principals import Principal, Role, Visibility, local
from mlops_assets.registry import Registry
from mlops_assets.registry.records.registrations import State, attempts, registrations
from mlops_assets.registry.schema import DataVersion, File, StacCollection
from mlops_assets.registry.session import now
from mlops_assets.reindex.reindex import reindex
from mlops_assets.settings import Settings
from mlops_assets.stac.visibility import set_visibility
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject
from mlops_assets_tests.discovery.registration.memory_catalogue import (
    UNREACHABLE,
    MemoryCatalogue,
    target,
)
from mlops_assets_tests.hub.serving import TOKEN, hub

REFUSED = CatalogueError("eo_api answers 413: the Item is too large", temporary=False)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 29, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def store(recorded: Store, tmp_path: Path) -> Store:
    """A copy of the workspace, of which a change shows in no other test."""
    root = Path(shutil.copytree(recorded.workspace.root, tmp_path / "workspace"))
    registry = Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester"))
    return Store(Workspace(root.as_uri()), registry)


@pytest.fixture
def catalogue() -> MemoryCatalogue:
    return MemoryCatalogue()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registrar(store: Store, catalogue: MemoryCatalogue, clock: Clock) -> Registrar:
    return Registrar(store, [target(catalogue)], clock)


def references(found: list[Due]) -> list[str]:
    return [due.version.reference for due in found]


def register_all(registrar: Registrar) -> list[str]:
    """Register what is due, and return the errors."""
    found = registrar.due()
    outcomes = [
        outcome
        for due in found
        for outcome in registrar.register(due.version.name, due.version.version)
    ]
    return [outcome.error for outcome in outcomes if outcome.error is not None]


def test_versions_are_registered_once_each_collection_before_its_items(
    registrar: Registrar, catalogue: MemoryCatalogue, store: Store
) -> None:
    crops = [row.version for row in store.registry.model_versions("crops")]
    (cover,) = store.registry.model_versions("cover")
    assert register_all(registrar) == []
    sent = catalogue.sent()
    assert sent.index("scenes-v1") < sent.index("scenes-v1-a") < sent.index("cover")
    assert sent.count("crops") == 1  # of two versions
    assert {name for _, name in catalogue.records} >= {
        *(f"crops-{version}" for version in crops),
        f"cover-{cover.version}",
    }
    assert registrar.due() == []
    rows = registrations(store.registry)
    assert {row.state for row in rows.values()} == {State.REGISTERED}
    for row in rows.values():
        assert row.url.startswith("https://catalogue.example.org/collections/")
    assert verify_all(store).problems == []


def test_only_what_has_changed_is_sent(
    registrar: Registrar, catalogue: MemoryCatalogue, store: Store
) -> None:
    register_all(registrar)
    catalogue.requests.clear()
    # the record of the model loses its link to the data
    set_visibility(store, store.registry.data_version(Reference("scenes")), Visibility.PRIVATE)
    assert references(registrar.due()) == ["scenes@v1", f"cover@{_version(store, 'cover')}"]
    assert register_all(registrar) == []
    assert catalogue.sent() == ["scenes-v1", "scenes-v1-a", f"cover-{_version(store, 'cover')}"]


def _version(store: Store, model: str) -> str:
    return store.registry.model_version(Reference(model)).version


def test_what_a_killed_process_has_sent_is_not_sent_again(
    registrar: Registrar, catalogue: MemoryCatalogue, clock: Clock, store: Store
) -> None:
    def die() -> None:
        if ("put", "scenes-v1-a") in catalogue.requests:
            raise SystemExit

    catalogue.after_put = die
    with pytest.raises(SystemExit):
        registrar.register("scenes", "v1")
    assert catalogue.sent() == ["scenes-v1", "scenes-v1-a"]
    assert "scenes@v1" not in references(registrar.due())  # its process may still be running
    clock.time += timedelta(minutes=1)
    assert "scenes@v1" in references(registrar.due())
    (outcome,) = registrar.register("scenes", "v1")
    assert outcome.state == State.REGISTERED
    assert catalogue.sent() == []


def test_a_process_killed_before_it_sent_all_leaves_nothing_that_stays_when_hidden(
    registrar: Registrar, catalogue: MemoryCatalogue, store: Store
) -> None:
    def die() -> None:
        raise SystemExit

    catalogue.after_put = die
    with pytest.raises(SystemExit):
        registrar.register("scenes", "v1")
    catalogue.after_put = lambda: None
    set_visibility(store, store.registry.data_version(Reference("scenes")), Visibility.PRIVATE)
    (outcome,) = registrar.register("scenes", "v1")
    assert outcome.state == State.DEPRECATED
    assert catalogue.records["scenes-v1", None]["deprecated"] is True


def test_two_workers_send_a_record_once(
    registrar: Registrar, catalogue: MemoryCatalogue, store: Store
) -> None:
    started, released = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        released.wait(20)

    catalogue.before_put = wait
    workers = [threading.Thread(target=registrar.register, args=("scenes", "v1")) for _ in "ab"]
    workers[0].start()
    assert started.wait(20)
    workers[1].start()
    workers[1].join(0.3)
    released.set()
    for worker in workers:
        worker.join(20)
    assert catalogue.sent() == ["scenes-v1", "scenes-v1-a"]
    assert registrations(store.registry).popitem()[1].state == State.REGISTERED


def test_an_outage_of_hours_costs_few_requests_and_loses_nothing(
    registrar: Registrar, catalogue: MemoryCatalogue, clock: Clock, store: Store
) -> None:
    versions = len(registrar.due())
    catalogue.error = UNREACHABLE
    begun, tries = clock.time, 0
    while clock.time - begun < timedelta(hours=24):
        tries += len(register_all(registrar))
        clock.time += timedelta(seconds=30)
    assert versions <= tries < versions * 17
    (longest, *_) = sorted(
        (row.retry - row.tried for row in attempts(store.registry).values() if row.retry),
        reverse=True,
    )
    assert timedelta(hours=1) < longest <= LAST_RETRY
    assert {row.error for row in attempts(store.registry).values()} == {"eo_api answers 503"}
    catalogue.error = None
    clock.time += LAST_RETRY
    assert len(registrar.due()) == 1  # until one succeeds
    register_all(registrar)
    assert register_all(registrar) == []
    assert registrar.due() == []
    assert {row.state for row in registrations(store.registry).values()} == {State.REGISTERED}


def test_a_catalogue_is_given_the_time_that_it_asks_for(
    registrar: Registrar, catalogue: MemoryCatalogue, clock: Clock
) -> None:
    catalogue.error = CatalogueError("eo_api answers 429", temporary=True, after=3600)
    (outcome,) = registrar.register_due()
    assert outcome.retry == clock.time + timedelta(hours=1)
    # of all versions
    clock.time += timedelta(minutes=59)
    assert registrar.due() == []
    assert registrar.due(retry=True) != []
    clock.time += timedelta(minutes=1)
    catalogue.error = None
    assert len(registrar.due()) == 1
    register_all(registrar)
    assert len(registrar.due()) > 1


def test_a_refusal_waits_for_a_change_and_holds_up_nothing_else(
    registrar: Registrar, catalogue: MemoryCatalogue, clock: Clock, store: Store
) -> None:
    catalogue.error = REFUSED
    (outcome,) = registrar.register("scenes", "v1")
    assert (outcome.state, outcome.retry) == (State.REGISTERING, None)
    assert outcome.error == str(REFUSED)
    catalogue.error = None
    clock.time += timedelta(days=30)
    others = references(registrar.due())
    assert len(others) > 1
    assert "scenes@v1" not in others
    # the declaration of the catalogue is corrected
    (declared,) = registrar.targets
    corrected = replace(registrar, targets=[replace(declared, files="https://files.org")])
    assert "scenes@v1" in references(corrected.due())
    (outcome,) = registrar.register("scenes", "v1")
    assert outcome.state == State.REGISTERED


def test_a_record_that_was_lost_here_holds_up_nothing_else(
    registrar: Registrar, store: Store
) -> None:
    with store.registry._engine.begin() as connection:
        connection.execute(delete(StacCollection).where(StacCollection.id == "fields-v1"))
    (Path(store.workspace.root) / "catalog/datasets/fields/v1/collection.json").unlink()
    outcomes = {each.reference: each for each in registrar.register_due()}
    assert "record that version again" in str(outcomes.pop("fields@v1").error)
    assert {each.error for each in outcomes.values()} == {None}
    assert len(outcomes) == 5


def test_a_record_that_the_catalogue_changes_is_not_registered(
    registrar: Registrar, catalogue: MemoryCatalogue
) -> None:
    catalogue.license = "MIT"
    (outcome,) = registrar.register("scenes", "v1")
    assert outcome.state == State.REGISTERING
    assert "returns it otherwise: license: sent" in str(outcome.error)
    assert outcome.retry is None


def test_what_is_no_longer_visible_enough_is_deprecated_as_it_was_and_comes_back(
    registrar: Registrar, catalogue: MemoryCatalogue, store: Store
) -> None:
    register_all(registrar)
    before = catalogue.records["scenes-v1", "scenes-v1-a"]
    narrower = replace(registrar, targets=[target(catalogue, visible="published")])
    assert register_all(narrower) == []
    for key in (("scenes-v1", "scenes-v1-a"), ("cover", f"cover-{_version(store, 'cover')}")):
        properties = catalogue.records[key]["properties"]
        assert isinstance(properties, dict)
        assert properties["deprecated"] is True
    assert catalogue.records["scenes-v1", "scenes-v1-a"]["assets"] == before["assets"]
    assert catalogue.records["scenes-v1", None]["deprecated"] is True
    assert narrower.due() == []
    assert register_all(registrar) == []
    assert catalogue.records["scenes-v1", "scenes-v1-a"] == before


def test_a_collection_of_other_data_is_neither_replaced_nor_marked(
    registrar: Registrar, catalogue: MemoryCatalogue, store: Store
) -> None:
    of_others: JsonObject = {"id": "scenes-v1", "type": "Collection", "mlops:digest": "0" * 64}
    catalogue.put([of_others])
    assert any("a Collection of other data" in error for error in register_all(registrar))
    # the attempt is known, which is to leave nothing there that is hidden
    set_visibility(store, store.registry.data_version(Reference("scenes")), Visibility.PRIVATE)
    register_all(registrar)
    assert catalogue.records["scenes-v1", None] == of_others


def test_what_was_never_visible_enough_is_asked_for_nowhere(
    store: Store, catalogue: MemoryCatalogue, clock: Clock
) -> None:
    registrar = Registrar(store, [target(catalogue, visible="published")], clock)
    assert registrar.due() == []
    (outcome,) = registrar.register("scenes", "v1")
    assert outcome.state is None
    assert catalogue.requests == []
    assert registrations(store.registry) == {}


def test_a_collection_goes_only_with_its_last_item_whoever_has_sent_it(
    registrar: Registrar, catalogue: MemoryCatalogue, store: Store
) -> None:
    register_all(registrar)
    row = store.registry.model_version(Reference("cover"))
    catalogue.records["cover", "of-others"] = {"id": "of-others"}
    assert registrar.withdraw(row, "eo_api", State.DELETED).state == State.DELETED
    assert {item for name, item in catalogue.records if name == "cover"} == {None, "of-others"}


def test_a_catalogue_that_is_no_longer_declared_holds_no_retry(
    registrar: Registrar, catalogue: MemoryCatalogue, clock: Clock
) -> None:
    catalogue.error = UNREACHABLE
    registrar.register("scenes", "v1")
    clock.time += timedelta(hours=1)
    assert registrar.has_retry()
    assert not replace(registrar, targets=[]).has_retry()


def test_a_withdrawn_version_stays_withdrawn_until_it_is_registered_again(
    registrar: Registrar, catalogue: MemoryCatalogue, store: Store
) -> None:
    register_all(registrar)
    first, last = store.registry.model_versions("crops")
    deleted = registrar.withdraw(first, "eo_api", State.DELETED, "wrong labels")
    assert deleted.state == State.DELETED
    assert ("crops", f"crops-{first.version}") not in catalogue.records
    assert ("crops", None) in catalogue.records
    registrar.withdraw(last, "eo_api", State.DELETED, "wrong labels")
    assert ("crops", None) not in catalogue.records
    assert registrar.due() == []
    entries = store.registry.log_texts(1, 10**6)
    assert any(f"withdraw crops@{first.version} from eo_api" in entry for entry in entries)
    assert any('"reason":"wrong labels"' in entry for entry in entries)
    again = registrar.readmit(last, "eo_api")
    assert again.state == State.REGISTERED
    assert ("crops", f"crops-{last.version}") in catalogue.records
    # who has not created it, and is no operator
    scientist = Principal("bob", frozenset({Role.SCIENTIST}))
    other = replace(registrar, store=store.acting(scientist))
    catalogue.requests.clear()
    with pytest.raises(Forbidden, match=f"may not withdraw crops@{last.version} from eo_api"):
        other.withdraw(last, "eo_api", State.DEPRECATED)
    assert catalogue.requests == []


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def test_a_rebuilt_registry_knows_what_is_registered_and_sends_nothing_again(
    request: pytest.FixtureRequest,
    registrar: Registrar,
    catalogue: MemoryCatalogue,
    tmp_path: Path,
    kind: str,
) -> None:
    register_all(registrar)
    catalogue.requests.clear()
    url = f"sqlite:///{tmp_path / 'rebuilt.db'}"
    if kind == "postgresql":
        url = request.getfixturevalue("new_database")()
    reindex(registrar.store.workspace, url, local("tester"))
    rebuilt = Store(registrar.store.workspace, Registry(url).acting(local("tester")))
    again = replace(registrar, store=rebuilt)
    assert register_all(again) == []
    assert catalogue.sent() == []
    assert again.due() == []
    set_visibility(rebuilt, rebuilt.registry.data_version(Reference("scenes")), Visibility.PRIVATE)
    assert register_all(again) == []
    assert catalogue.records["scenes-v1", None]["deprecated"] is True
    rebuilt.registry.close()


def test_ten_thousand_versions_with_nothing_due_cost_few_queries(
    registrar: Registrar, store: Store
) -> None:
    register_all(registrar)
    registry = store.registry
    count = 10_000
    with registry._engine.begin() as connection:
        columns = {
            "dataset": "many",
            "created": now(),
            "created_by": "tester",
            "files": 1,
            "samples": 1,
            "size": 1,
            "specification": {},
            "counts": {},
            "visibility": "private",
        }
        numbers = range(1, count + 1)
        connection.execute(
            insert(DataVersion),
            [{**columns, "version": f"v{n}", "number": n, "digest": f"{n:064d}"} for n in numbers],
        )
        connection.execute(
            insert(File),
            [
                {
                    "path": f"private/datasets/many/v{n}/collection.json",
                    "owner": f"record:many@v{n}",
                    "sha256": f"{n:064d}",
                    "size": 1,
                }
                for n in numbers
            ],
        )
    statements: list[str] = []
    event.listen(
        registry._engine,
        "before_cursor_execute",
        lambda *given: statements.append(given[2]),
    )
    assert registrar.due() == []
    assert len([text for text in statements if text.startswith("SELECT")]) <= 5


def test_records_are_registered_with_the_hub_of_another_workspace(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Workspace((tmp_path / "other").as_uri())
    registry = Registry(f"sqlite:///{other.root / 'registry.db'}").acting(local("ann"))
    monkeypatch.setenv("OTHER_TOKEN", TOKEN)
    monkeypatch.setenv("MLOPS_CATALOGUES", "catalogues.yaml")
    with hub(Store(other, registry)) as url:
        Path("catalogues.yaml").write_text(
            "catalogues:\n  - name: other\n    visible: workspace\n"
            f"    url: {url}/stac\n    access: {{token: {{variable: OTHER_TOKEN}}}}\n"
        )
        registrar = open_registrar(store, Settings.from_environment())
        assert register_all(registrar) == []
        assert registrar.due() == []
        row = store.registry.model_version(Reference("cover"))
        (again,) = registrar.register("cover", row.version)
        found = httpx.get(again.url, headers={"Authorization": f"Bearer {TOKEN}"})
        assert found.json()["properties"]["mlm:name"] == "cover"
        set_visibility(store, row, Visibility.PRIVATE)
        assert register_all(registrar) == []
        found = httpx.get(again.url, headers={"Authorization": f"Bearer {TOKEN}"})
        assert found.json()["properties"]["deprecated"] is True
        registrar.withdraw(row, "other", State.DELETED)
        found = httpx.get(again.url, headers={"Authorization": f"Bearer {TOKEN}"})
        assert found.status_code == 404
    monkeypatch.delenv("OTHER_TOKEN")
    (outcome,) = registrar.register("scenes", "v1")
    assert "OTHER_TOKEN" in str(outcome.error)
    registry.close()
