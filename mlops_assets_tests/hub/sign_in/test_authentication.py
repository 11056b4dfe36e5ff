"""Rights of each principal over HTTP.

Principals have tokens of the registry, the shared token, or tokens of an issuer, with each role.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.errors import Forbidden, SettingsError, StorageError
from mlops_assets.external import external_run
from mlops_assets.hub.app import HubSettings, create_app
from mlops_assets.hub.external.routes import NPY, PNG
from mlops_assets.identity import issuer as checks
from mlops_assets.identity.declaration import Identity
from mlops_assets.identity.tokens import create_token
from mlops_assets.models.promotion import promote
from mlops_assets.names import Reference
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.store import Store
from mlops_assets_tests.hub.external.test_routes import refused, send_onnx, started
from mlops_assets_tests.hub.serving import START, TOKEN, caller, finished, hub, put
from mlops_assets_tests.servers.oidc import AUDIENCE, OidcServer, new_key, oidc_server

ROLES = [
    {"claim": "roles", "values": {"science": "scientist", "look": "viewer", "decide": "approver"}}
]


@pytest.fixture
def oidc() -> Iterator[OidcServer]:
    with oidc_server() as found:
        yield found


def identity(server: OidcServer) -> Identity:
    return Identity.model_validate({"issuer": server.url, "audience": AUDIENCE, "roles": ROLES})


def token(store: Store, *roles: Role, name: str = "ann", days: int = 1) -> str:
    return create_token(store.registry, name, roles, timedelta(days=days))[1]


def entries(store: Store) -> list[dict[str, Any]]:
    """Return the entries of the log, as it is mirrored in the workspace."""
    return [json.loads(store.workspace.get(key)) for key in sorted(store.workspace.list("log"))]


def test_a_viewer_reads_a_scientist_trains_and_an_approver_promotes(
    store: Store, oidc: OidcServer, tmp_path: Path
) -> None:
    with hub(store, identity=identity(oidc)) as url:
        with caller(url, oidc.token()) as scientist:
            run_id = started(scientist, created_by="eve")
            points = {"points": [[0, "loss", 0, 0.5, 1e9]]}
            assert scientist.post(f"runs/{run_id}/points", json=points).status_code == 200
        for bearer in (
            token(store, Role.VIEWER),
            token(store, Role.APPROVER, Role.OPERATOR),
            oidc.token(roles=["look"]),
        ):
            with caller(url, bearer) as viewer:
                assert viewer.get(f"runs/{run_id}").json()["points"] == 1
                assert viewer.get(f"runs/{run_id}/samples").status_code == 200
                before = files_of(tmp_path)
                for answer in (
                    viewer.post(
                        "runs", json={**START, "code": {"version": "x", "changes": "y" * 1000}}
                    ),
                    viewer.post("runs", json={**START, "run_id": run_id}),
                    viewer.post(f"runs/{run_id}/points", json=points),
                    put(viewer, f"runs/{run_id}/model.onnx", b"model"),
                    put(viewer, f"runs/{run_id}/native/model", b"model"),
                    put(viewer, f"runs/{run_id}/outputs/scores.npy", b"model"),
                    put(viewer, f"runs/{run_id}/figures/f.png", b"figure"),
                    viewer.post(f"runs/{run_id}/finish", json={"status": "failed"}),
                    viewer.post(f"runs/{run_id}/finish", json={"status": "succeeded"}),
                ):
                    refused(answer, 403, "needs the role scientist")
                    assert answer.json()["error"] == "Forbidden"
                assert files_of(tmp_path) == before
        with caller(url, oidc.token(roles=["unknown"])) as unknown:
            refused(unknown.get(f"runs/{run_id}"), 403, "ann has no role")
        with caller(url, oidc.token()) as scientist:
            send_onnx(scientist, run_id, tmp_path / "model.onnx")
            assert finished(scientist, run_id, points=1)["publication"] == "done"
    run, (row,) = store.registry.run(run_id), store.registry.model_versions("crops")
    assert (run.status, run.created_by, row.stage) == ("succeeded", "ann", "recorded")
    own = [entry for entry in entries(store) if entry["principal"] != "tester"]
    assert {entry["principal"] for entry in own} == {"ann"}
    assert {
        "start run",
        "publish model version",
        "publish stage exported",
        "publish stage recorded",
    } <= {entry["action"] for entry in own}
    scientist_store = store.acting(Principal("ann", frozenset({Role.SCIENTIST})))
    with pytest.raises(
        Forbidden, match="ann may not move alias production: this needs the role approver"
    ):
        promote(scientist_store, row, [])
    promote(scientist_store, row, [], "candidate")
    promote(store.acting(Principal("ben", frozenset({Role.APPROVER}))), row, [])
    assert [(entry["principal"], entry["action"]) for entry in entries(store)[-2:]] == [
        ("ann", "move alias candidate"),
        ("ben", "move alias production"),
    ]


def test_a_private_version_exists_for_its_creator_and_operators_only(
    store: Store, tmp_path: Path
) -> None:
    ann, bob, eve = (
        token(store, role, name=name)
        for name, role in (
            ("ann", Role.SCIENTIST),
            ("bob", Role.SCIENTIST),
            ("eve", Role.OPERATOR),
        )
    )
    registry = store.registry
    creator = store.acting(Principal("ann", frozenset({Role.SCIENTIST})))
    with (
        hub(store) as url,
        caller(url, ann) as own,
        caller(url, bob) as other,
        caller(url, eve) as operator,
    ):
        run_id = started(own)
        send_onnx(own, run_id, tmp_path / "model.onnx")
        version = finished(own, run_id)["model_version"]
        assert other.get(f"runs/{run_id}").json()["model_version"] == version
        row = registry.model_version(Reference("crops", version))
        creator.registry.set_visibility(row, Visibility.PRIVATE)
        unfinished = started(own)
        registry.set_visibility(registry.data_version(Reference("fields")), Visibility.PRIVATE)
        for hidden in (run_id, unfinished):
            unknown = other.get(f"runs/{'0' * 8}-0000-4000-8000-{'0' * 12}")
            for answer in (
                other.get(f"runs/{hidden}"),
                other.head(f"runs/{hidden}"),
                other.get(f"runs/{hidden}/samples"),
                other.post(f"runs/{hidden}/points", json={"points": []}),
                other.post(f"runs/{hidden}/finish", json={"status": "failed"}),
                put(other, f"runs/{hidden}/model.onnx", b"model"),
                put(other, f"runs/{hidden}/native/model", b"model"),
                put(other, f"runs/{hidden}/outputs/scores.npy", NPY),
                put(other, f"runs/{hidden}/figures/map.png", PNG),
            ):
                assert answer.status_code == unknown.status_code == 404
                if answer.content:
                    assert answer.json()["title"] == unknown.json()["title"]
            for seeing in (own, operator):
                assert seeing.get(f"runs/{hidden}").status_code == 200
        for data in ("fields@v1", "fields"):
            refused(other.post("runs", json={**START, "data": data}), 404, "no data version")
        refused(other.post("runs", json={**START, "run_id": unfinished}), 404)
        assert finished(own, unfinished, status="failed")["status"] == "failed"


def files_of(folder: Path) -> dict[Path, int]:
    """Every file there with its size, but for those that SQLite uses while it reads."""
    return {
        path: path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and "registry.db" not in path.name
    }


def test_a_token_is_refused_once_it_is_revoked_or_has_expired(store: Store) -> None:
    good, expired, revoked = (
        token(store, Role.VIEWER),
        token(store, Role.VIEWER, days=-1),
        token(store, Role.VIEWER),
    )
    with hub(store) as url:

        def status(text: str) -> tuple[int, str]:
            answer = httpx.get(url + "/nothing", headers={"Authorization": f"bearer  {text}"})
            return answer.status_code, answer.json()["detail"]

        assert (status(good)[0], status(revoked)[0]) == (404, 404)
        store.registry.revoke_tokens(revoked.split("_")[1])
        assert status(revoked) == (
            401,
            f"token {revoked.split('_')[1]} was revoked; ask for a new one",
        )
        assert status(expired)[0] == 401 and "has expired" in status(expired)[1]
        prefix, token_id, secret = good.split("_")
        for other in (
            f"{prefix}_{token_id}_{secret[:-1]}{'0' if secret[-1] != '0' else '1'}",
            f"{prefix}_{token_id}_",
            f"{prefix}_{'0' * 12}_{secret}",
            f"{prefix}_{revoked.split('_')[1]}_{secret}",
            secret,
            store.registry.tokens()[0].sha256,
            good.upper(),
        ):
            assert status(other) == (401, "the token is unknown")
        twice = httpx.get(
            url, headers=[("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {TOKEN}")]
        )
        refused(twice, 401, "exactly one")
        assert status(good)[0] == 404
        assert store.registry.revoke_tokens("ann") and status(good)[0] == 401


def test_the_shared_token_is_a_scientist_whose_runs_name_their_author(store: Store) -> None:
    with hub(store) as url, caller(url) as client:
        run_id = started(client, created_by="eve")
    assert store.registry.run(run_id).created_by == "eve"
    assert (entries(store)[-1]["principal"], entries(store)[-1]["action"]) == (
        "api-token",
        "start run",
    )


def test_a_token_of_a_person_in_the_setting_is_not_shared(
    store: Store, tmp_path: Path, oidc: OidcServer
) -> None:
    person = token(store, Role.VIEWER)
    for own in (person, oidc.token()):  # as where our client runs beside the server
        app = create_app(store, HubSettings(tmp_path, own))
        assert app is not None
    store.registry.revoke_tokens("ann")
    for own in (person, oidc.token()):
        with pytest.raises(SettingsError, match="mlops token create"):
            create_app(store, HubSettings(tmp_path, own))
    assert create_app(store, HubSettings(tmp_path, identity=identity(oidc))) is not None


def test_our_client_sends_any_token_and_reports_missing_roles(
    store: Store, oidc: OidcServer
) -> None:
    with hub(store, identity=identity(oidc)) as url:
        with (
            pytest.raises(Forbidden, match="needs the role scientist"),
            external_run("declared_crops", "fields", url=url, token=token(store, Role.VIEWER)),
        ):
            pass
        with (
            pytest.raises(SettingsError, match=r"does not accept the token: .*it has expired"),
            external_run("declared_crops", "fields", url=url, token=oidc.token(exp=1)),
        ):
            pass
        # a token for each request, as a library gives them
        lasting = iter([oidc.token(), oidc.token(sub="anna")])

        def newest() -> str:
            return next(lasting)

        with (
            pytest.raises(KeyboardInterrupt),
            external_run("declared_crops", "fields", url=url, token=newest),
        ):
            raise KeyboardInterrupt
    assert [run.created_by for run in store.registry.runs()] == ["ann"]


def test_while_an_issuer_is_down_all_others_get_in(
    store: Store, oidc: OidcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    oidc.down = True
    monkeypatch.setattr(checks, "MIN_REFRESH_SECONDS", 0.0)
    with hub(store, identity=identity(oidc)) as url, caller(url, oidc.token()) as client:
        answer = client.get("nothing")
        refused(answer, 503, "cannot be checked at present")
        assert int(answer.headers["retry-after"]) > 0 and oidc.url not in answer.text
        for bearer in (TOKEN, token(store, Role.VIEWER)):
            with caller(url, bearer) as other:
                assert other.get("nothing").status_code == 404
        oidc.down = False
        assert client.get("nothing").status_code == 404
        oidc.down = True
        assert client.get("nothing").status_code == 404
        refused(
            httpx.get(url, headers={"Authorization": f"Bearer {oidc.token(new_key('new'))}"}), 503
        )


def test_while_the_registry_is_down_no_token_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bearer = token(store, Role.VIEWER)
    with hub(store) as url, caller(url, bearer) as client:
        assert client.get("nothing").status_code == 404

        def unreachable(*_: Any) -> None:
            raise StorageError("registry postgresql://HOST-OF-THE-DATABASE could not be used")

        monkeypatch.setattr("mlops_assets.registry.store.Registry.token", unreachable)
        refused(answer := client.get("nothing"), 503, "at present")
        assert "HOST" not in answer.text


def test_no_token_is_in_answers_logs_or_files(
    store: Store,
    oidc: OidcServer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.DEBUG)
    valid, revoked = token(store, Role.VIEWER), token(store, Role.SCIENTIST, name="ben")
    store.registry.revoke_tokens("ben")
    forged = oidc.token(new_key("other"))
    canaries = {
        "valid": valid,
        "revoked": revoked,
        "signed": oidc.token(),
        "expired": oidc.token(exp=1),
        "forged": forged,
        "elsewhere": oidc.token(iss="https://elsewhere.example.org"),
        "unknown": "an-unknown-token-canary",
        "large": oidc.token(more="canary" * 2500),
        "nested": "W1tb" * 3000 + ".canary.canary",
    }
    answers = []
    with hub(store, identity=identity(oidc)) as url:
        for bearer in (*canaries.values(), TOKEN):
            for method, path in (
                ("GET", "/nothing"),
                ("POST", "/api/v1/runs"),
                ("GET", "/api/v1/runs/x"),
            ):
                answers.append(
                    httpx.request(method, url + path, headers={"Authorization": f"Bearer {bearer}"})
                )
        for size in (100_000, 60_000):
            large = httpx.get(
                url, headers={"Authorization": f"Bearer {oidc.token(more='canary' * (size // 8))}"}
            )
            assert large.status_code in (400, 401, 431)
            answers.append(large)
    assert {answer.status_code for answer in answers} <= {400, 401, 403, 404, 422, 431}
    written = (
        "".join(answer.text + str(answer.headers) for answer in answers)
        + caplog.text
        + "".join(capfd.readouterr())
    )
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for name, bearer in {**canaries, "shared": TOKEN}.items():
        secrets = bearer.split("_")[2:] if bearer.startswith("mlops_") else bearer.split(".")[-2:]
        for secret in secrets:
            assert secret not in written, name
            assert secret.encode() not in kept, name


def test_many_requests_with_unknown_keys_delay_no_other_caller(
    store: Store, oidc: OidcServer
) -> None:
    with hub(store, identity=identity(oidc)) as url, caller(url, oidc.token()) as client:
        assert client.get("nothing").status_code == 404
        oidc.delay = 2.0
        for number in range(30):
            bearer = oidc.token(header={"kid": f"unknown-{number}"})
            assert httpx.get(url, headers={"Authorization": f"Bearer {bearer}"}).status_code == 401
        assert client.get("nothing").status_code == 404
    assert oidc.asked.count("/keys") == 1
