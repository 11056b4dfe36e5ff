"""Rights of each role: every method of the registry, of which none is without a right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.errors import Forbidden
from mlops_assets.names import Reference
from mlops_assets.paths import Owner
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.registry import (
    BrowserSession,
    Checkpoint,
    Registry,
    SignIn,
    Token,
)
from mlops_assets.registry.promotion.outbox import Attempt
from mlops_assets.registry.records.rows import PublishedRecords
from mlops_assets.registry.store import now
from mlops_assets.storage.packs import Place
from mlops_assets_tests.registry.rows import (
    data_version,
    deployment,
    failed_rule,
    git_delivery,
    map_row,
    model_version,
    new_run,
    removal,
    webhook_message,
)
from mlops_assets_tests.registry.test_store import FILE


def new_token(token_id: str, *roles: Role) -> Token:
    return Token(
        id=token_id,
        name="ben",
        roles=sorted(roles),
        sha256="0" * 64,
        created=now(),
        created_by="ann",
        expires=now() + timedelta(days=1),
    )


def sign_in(state: str) -> SignIn:
    return SignIn(state=state, browser="b", nonce="n", verifier="v", target="/", expires=now())


def browser_session(sha256: str) -> BrowserSession:
    return BrowserSession(
        sha256=sha256,
        name="ann",
        roles=["viewer"],
        started=now(),
        seen=now(),
        expires=now() + timedelta(hours=1),
    )


def read_snapshot(registry: Registry) -> None:
    with registry.snapshot():
        pass


Call = Callable[[Registry], Any]
CHANGES: dict[str, tuple[Role, Call]] = {
    "publish_data_version": (
        Role.SCIENTIST,
        lambda r: r.publish_data_version(data_version(2), [FILE]),
    ),
    "tag": (Role.SCIENTIST, lambda r: r.tag("fields", "v1", "paper")),
    "remember_landed": (
        Role.SCIENTIST,
        lambda r: r.remember_landed("file:///l", [("a", 1, "s", "0" * 64)]),
    ),
    "remember_packed": (
        Role.SCIENTIST,
        lambda r: r.remember_packed({"0" * 64: Place("1" * 64, 94)}),
    ),
    "forget_packed": (Role.SCIENTIST, lambda r: r.forget_packed(["0" * 64])),
    "start_run": (Role.SCIENTIST, lambda r: r.start_run(new_run("run-2"))),
    "resume_run": (Role.SCIENTIST, lambda r: r.resume_run("run-1", 0)),
    "finish_run": (Role.SCIENTIST, lambda r: r.finish_run("run-1", "failed")),
    "note_run": (Role.SCIENTIST, lambda r: r.note_run("run-1", "cloudy")),
    "tag_run": (Role.SCIENTIST, lambda r: r.tag_run("run-1", "season", "wet")),
    "log": (Role.SCIENTIST, lambda r: r.log("run-1", [(0, "loss", 0, 1.0, 0.0)])),
    "put_run": (Role.SCIENTIST, lambda r: r.put_run(new_run("run-3", status="failed"), [])),
    "add_checkpoint": (
        Role.SCIENTIST,
        lambda r: r.add_checkpoint(
            Checkpoint(
                run_id="run-1", step=1, seq=0, path="p", sha256="0" * 64, size=1, created=now()
            )
        ),
    ),
    "forget_checkpoints": (Role.SCIENTIST, lambda r: r.forget_checkpoints("run-1", [1])),
    "publish_model_version": (
        Role.SCIENTIST,
        lambda r: r.publish_model_version(model_version("m2", "run-1"), []),
    ),
    "advance": (
        Role.SCIENTIST,
        lambda r: r.advance(model_version("m1", "run-of-m1"), "exported", []),
    ),
    "promote": (Role.APPROVER, lambda r: r.promote(model_version("m1", "run-of-m1"), [])),
    "decide": (
        Role.APPROVER,
        lambda r: r.decide(model_version("m1", "run-of-m1"), "approved", "measured", {}),
    ),
    "publish_map": (
        Role.SCIENTIST,
        lambda r: r.publish_map(map_row("m1"), PublishedRecords({}, [])),
    ),
    "report_failed_gates": (
        Role.SCIENTIST,
        lambda r: r.report_failed_gates(model_version("m1", "run-of-m1"), "accuracy: FAILED"),
    ),
    "record_deployment": (Role.APPROVER, lambda r: r.record_deployment(deployment("m1"))),
    "raise_alarm": (Role.SCIENTIST, lambda r: r.raise_alarm(failed_rule("m1", "2026-11-03"))),
    "close_alarm": (Role.SCIENTIST, lambda r: r.close_alarm(r.alarm(1), "2026-11-03")),
    "note_issue": (Role.SCIENTIST, lambda r: r.note_issue(r.alarm(1), "https://example.org/1")),
    "note_retraining": (
        Role.SCIENTIST,
        lambda r: r.note_retraining(r.alarm(1), "dagster-run", "v2"),
    ),
    "set_webhooks": (Role.OPERATOR, lambda r: r.set_webhooks({"team": ["model.approved"]})),
    "record_attempts": (Role.OPERATOR, lambda r: r.record_attempts([Attempt("m" * 36, "dead")])),
    "retry_message": (Role.OPERATOR, lambda r: r.retry_message("d" * 36)),
    "add_files": (Role.SCIENTIST, lambda r: r.add_files(Owner("data:fields@v1"), [FILE])),
    "add_records": (Role.SCIENTIST, lambda r: r.add_records(PublishedRecords({}, []))),
    "set_visibility": (
        Role.OPERATOR,
        lambda r: r.set_visibility(r.data_version(Reference("fields")), Visibility.PRIVATE),
    ),
    "add_token": (Role.OPERATOR, lambda r: r.add_token(new_token("b" * 12))),
    "add_git_delivery": (Role.SCIENTIST, lambda r: r.add_git_delivery(git_delivery("g" * 64))),
    "record_removal": (Role.OPERATOR, lambda r: r.record_removal(removal())),
    "forget_objects": (
        Role.OPERATOR,
        lambda r: r.forget_objects(removal(), ["0" * 64], ["1" * 64]),
    ),
    "remove_checkpoints": (
        Role.OPERATOR,
        lambda r: r.remove_checkpoints(removal("checkpoints"), "unknown", now()),
    ),
    "forget_git_delivery": (Role.SCIENTIST, lambda r: r.forget_git_delivery("0" * 64)),
    "add_sign_in": (Role.OPERATOR, lambda r: r.add_sign_in(sign_in("s" * 64))),
    "take_sign_in": (Role.OPERATOR, lambda r: r.take_sign_in("0" * 64)),
    "add_browser_session": (
        Role.OPERATOR,
        lambda r: r.add_browser_session(browser_session("b" * 64), timedelta(hours=1)),
    ),
    "touch_browser_session": (
        Role.OPERATOR,
        lambda r: r.touch_browser_session("0" * 64, now()),
    ),
    "end_browser_session": (Role.OPERATOR, lambda r: r.end_browser_session("0" * 64)),
    "revoke_tokens": (Role.OPERATOR, lambda r: r.revoke_tokens("a" * 12)),
    # whoever finds a publication that a killed process left completes it: nothing is decided by
    # that
    "forget_staged": (Role.VIEWER, lambda r: r.forget_staged(["a"])),
}
READS: dict[str, Call] = {
    "names": lambda r: r.names(),
    "count_model_versions": lambda r: r.count_model_versions(),
    "newest_committed": lambda r: r.newest_committed(1),
    "newest_model_versions": lambda r: r.newest_model_versions(1),
    "production_versions": lambda r: r.production_versions(),
    "removals": lambda r: r.removals(),
    "standing_versions": lambda r: r.standing_versions([("fields", "v1")], []),
    "versions_beside": lambda r: r.versions_beside(data_version(), later=False, limit=1),
    "data_versions": lambda r: r.data_versions(),
    "hides": lambda r: r.hides(Reference("fields", "v1")),
    "data_version": lambda r: r.data_version(Reference("fields")),
    "data_version_with": lambda r: r.data_version_with("fields", "0" * 64),
    "next_number": lambda r: r.next_number("fields"),
    "tags": lambda r: r.tags("fields"),
    "landed": lambda r: list(r.landed("file:///l")),
    "landed_objects": lambda r: list(r.landed_objects("file:///l")),
    "packed": lambda r: r.packed(["0" * 64]),
    "entries_of": lambda r: r.entries_of("0" * 64),
    "points": lambda r: r.points("run-1"),
    "points_since": lambda r: r.points_since("run-1", 0, 1),
    "notes": lambda r: r.notes("run-1"),
    "all_tags": lambda r: r.all_tags(),
    "models_with_runs": lambda r: r.models_with_runs(),
    "trained_on": lambda r: r.trained_on("fields"),
    "newest_data_versions": lambda r: r.newest_data_versions(),
    "data_versions_page": lambda r: r.data_versions_page("fields", 1),
    "data_version_before": lambda r: r.data_version_before(data_version(2)),
    "count_data_versions": lambda r: r.count_data_versions("fields"),
    "newest_number": lambda r: r.newest_number(),
    "newest_points": lambda r: r.newest_points("run-1", 1),
    "ranges": lambda r: r.ranges("run-1"),
    "series": lambda r: r.series("run-1"),
    "next_seq": lambda r: r.next_seq("run-1"),
    "checkpoints": lambda r: r.checkpoints("run-1"),
    "runs": lambda r: r.runs(),
    "run": lambda r: r.run("run-1"),
    "run_of": lambda r: r.run_of(model_version("m1", "run-of-m1")),
    "trained_versions": lambda r: r.trained_versions("crops"),
    "model_versions": lambda r: r.model_versions(),
    "model_version": lambda r: r.model_version(Reference("crops")),
    "list_model_versions": lambda r: r.list_model_versions(),
    "all_aliases": lambda r: r.all_aliases(),
    "aliases": lambda r: r.aliases("crops"),
    "alarm": lambda r: r.alarm(1),
    "alarms": lambda r: r.alarms("crops"),
    "deployments": lambda r: r.deployments("crops"),
    "promotions": lambda r: r.promotions("crops"),
    "decisions": lambda r: r.decisions("crops"),
    "deprecated_versions": lambda r: r.deprecated_versions(),
    "maps": lambda r: r.maps(),
    "maps_with": lambda r: r.maps_with("0" * 64),
    "map_collections": lambda r: r.map_collections(),
    "staged": lambda r: r.staged(),
    "files": lambda r: r.files(),
    "files_at": lambda r: r.files_at("a"),
    "newest_entry": lambda r: r.newest_entry(),
    "snapshot": read_snapshot,
    "log_texts": lambda r: r.log_texts(1, 2),
    "token": lambda r: r.token("a" * 12),
    "has_tokens": lambda r: r.has_tokens(),
}
OPERATORS_READ: dict[str, Call] = {
    "browser_session": lambda r: r.browser_session("a" * 64),
    "git_deliveries": lambda r: r.git_deliveries(),
    "totals": lambda r: r.totals(),
    "tokens": lambda r: r.tokens(),
    "due_messages": lambda r: r.due_messages(10),
    "webhook_messages": lambda r: r.webhook_messages(),
}
# what these do is decided by what is done within, or is no more than a connection
NEITHER = {
    "acting",
    "close",
    "count_errors",
    "explained",
    "limited",
    "lock",
    "mirror",
    "mirrored",
    "reading",
    "removing",
    "require_locks",
    "require_owner",
    "require_own_log",
    "storing",
    "transaction",
    "unrestricted",
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("rights") / "registry.db"
    registry = Registry(f"sqlite:///{path}")
    registry.publish_data_version(data_version(), [])
    for run_id in ("run-1", "run-of-m1"):
        registry.start_run(new_run(run_id))
    registry.publish_model_version(model_version("m1", "run-of-m1"), [])
    registry.raise_alarm(failed_rule("m1", "2026-11-02"))
    registry.add_token(new_token("a" * 12))
    registry.add_browser_session(browser_session("a" * 64), timedelta(hours=1))
    registry.add_git_delivery(git_delivery("a" * 64))
    registry.set_webhooks({"team": ["model.promoted"]})
    with registry.transaction("queue messages") as session:
        for message_id, state in (("m" * 36, "pending"), ("d" * 36, "dead")):
            session.add(webhook_message(message_id, state))
    registry.close()
    return path.read_bytes()


@pytest.fixture
def registry(filled: bytes, tmp_path: Path) -> Iterator[Registry]:
    (tmp_path / "registry.db").write_bytes(filled)
    opened = Registry(f"sqlite:///{tmp_path / 'registry.db'}")
    yield opened
    opened.close()


def content(registry: Registry) -> list[Any]:
    with registry._engine.connect() as connection:
        tables = connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).all()
        return [connection.exec_driver_sql(f"SELECT * FROM {name}").all() for (name,) in tables]


def test_every_method_of_the_registry_has_a_right() -> None:
    public = {name for name in dir(Registry) if not name.startswith("_")}
    assert public == CHANGES.keys() | READS.keys() | NEITHER | OPERATORS_READ.keys()


@pytest.mark.parametrize("method", CHANGES)
def test_a_change_takes_its_role(registry: Registry, method: str) -> None:
    needed, call = CHANGES[method]
    before = content(registry)
    enough = set(Role) - {Role.GUEST} if needed is Role.VIEWER else {needed}
    for roles in [frozenset(), *(frozenset({role}) for role in Role if role not in enough)]:
        with pytest.raises(Forbidden, match=f"this needs the role ({needed}|viewer)"):
            call(registry.acting(Principal("ann", roles)))
        assert content(registry) == before, roles
    for role in enough:
        call(registry.acting(Principal("ann", frozenset({role}))))


def test_reading_takes_any_role(registry: Registry) -> None:
    open_to_nobody = []
    for method, call in READS.items():
        for role in set(Role) - {Role.GUEST}:
            call(registry.acting(Principal("ann", frozenset({role}))))
        try:
            call(registry.acting(Principal("ann", frozenset())))
        except Forbidden as error:
            if "ann may not read" in str(error) and "has no role" in str(error):
                continue
        open_to_nobody.append(method)
    assert open_to_nobody == []


def test_a_scientist_proposes_and_an_approver_decides(registry: Registry) -> None:
    row = registry.model_version(Reference("crops"))
    scientist, approver = (
        registry.acting(Principal("ann", frozenset({role})))
        for role in (Role.SCIENTIST, Role.APPROVER)
    )
    scientist.promote(row, [], "candidate")
    for alias in ("production", "previous", "spring"):
        with pytest.raises(Forbidden, match=f"move alias {alias}: this needs the role approver"):
            scientist.promote(row, [], alias)
    with pytest.raises(Forbidden, match="the role scientist"):
        approver.promote(row, [], "candidate")
    approver.promote(row, [])
    assert registry.aliases("crops") == {"candidate": "m1", "production": "m1"}
    assert registry.principal.roles == frozenset(Role)


def test_no_principal_grants_a_role_that_they_do_not_have(registry: Registry) -> None:
    operator = registry.acting(Principal("ann", frozenset({Role.OPERATOR})))
    for role in (Role.SCIENTIST, Role.APPROVER):
        with pytest.raises(Forbidden, match=f"create a token with the role {role}"):
            operator.add_token(new_token("b" * 12, Role.VIEWER, role))
    operator.add_token(new_token("b" * 12, Role.VIEWER, Role.OPERATOR))
    assert [token.id for token in operator.tokens()] == ["a" * 12, "b" * 12]


@pytest.mark.parametrize("method", OPERATORS_READ)
def test_operators_alone_read_tokens_and_messages(registry: Registry, method: str) -> None:
    read = OPERATORS_READ[method]
    assert read(registry.acting(Principal("ann", frozenset({Role.OPERATOR}))))
    for role in set(Role) - {Role.OPERATOR}:
        with pytest.raises(Forbidden, match="this needs the role operator"):
            read(registry.acting(Principal("ann", frozenset({role}))))
