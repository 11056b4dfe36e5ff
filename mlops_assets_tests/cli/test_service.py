"""`mlops service`: what it deploys and lists, through Dagster's history."""

from __future__ import annotations

import json
from collections.abc import Iterator

import dagster as dg
import pytest

from mlops_assets.registry.schema import Deployment
from mlops_assets.settings import Settings
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.integrations.deployment.conftest import _promoted, store
from mlops_assets_tests.integrations.deployment.service import versions

__all__ = ["_promoted", "store"]
MODULE = ("--module", "mlops_assets_tests.components.services.project")


@pytest.fixture(autouse=True)
def _settings(store: Store) -> Iterator[None]:
    yield
    assert Settings.from_environment().user == "tester"


def test_services_are_deployed_listed_and_undeployed(store: Store, mlops: Mlops) -> None:
    older, newer = versions(store)
    (row,) = mlops("service", "list", *MODULE, "--json").json
    assert (row["service"], row["serves"], row["alias_version"]) == (
        "land_service",
        None,
        newer.version,
    )
    never = mlops("service", "show", "land_service")
    assert (never.code, "never deployed" in never.err) == (1, True)

    done = mlops("service", "deploy", "land_service", "--reason", "spring", *MODULE)
    assert f"land_service: deployed land@{newer.version}, engine kserve" in done.out, done.err
    assert "next: kubectl apply --server-side -f " in done.out
    back = mlops("service", "deploy", "land_service", "--version", "previous", *MODULE, "--json")
    assert (back.json["action"], back.json["model_version"]) == ("rollback", older.version)
    (check,) = back.json["checks"]
    assert check["check"] == "files_intact" and check["passed"]

    store.registry.record_deployment(
        Deployment(
            service="former",
            model="land",
            version=older.version,
            engine="triton",
            action="deployed",
            sha256="0" * 64,
            details={},
        )
    )
    listed = {row["service"]: row for row in mlops("service", "list", *MODULE, "--json").json}
    assert listed["land_service"]["serves"] == older.version
    assert (listed["former"]["declared"], listed["land_service"]["declared"]) == (False, True)
    assert "rollback" in mlops("service", "list", *MODULE).out
    ended = mlops("service", "undeploy", "land_service", "--reason", "winter", *MODULE)
    assert "next: kubectl delete inferenceservice land-service" in ended.out
    shown = mlops("service", "show", "land_service", "--json").json
    assert [own["action"] for own in shown["history"]] == ["undeployed", "rollback", "deployed"]
    assert (shown["serves"], shown["history"][0]["reason"]) == (None, "winter")
    lines = mlops("service", "show", "land_service").out
    assert f"UTC rollback land@{older.version}, kserve, by tester\n" in lines

    with dg.DagsterInstance.from_config(str(Settings.from_environment().dagster_home)) as instance:
        records = instance.fetch_materializations(dg.AssetKey(["land", "deployment"]), limit=9)
    assert len(records.records) == 3


def test_what_cannot_be_deployed_is_one_message(store: Store, mlops: Mlops) -> None:
    unknown = mlops("service", "deploy", "other", *MODULE)
    assert unknown.code == 1 and "this project declares land_service" in unknown.err
    absent = mlops("service", "deploy", "land_service", "--version", "v9-9", *MODULE)
    assert absent.code == 1 and "v9-9" in absent.err and "Traceback" not in absent.err
    nothing = mlops("service", "undeploy", "land_service", *MODULE)
    assert nothing.code == 1 and "serves nothing" in nothing.err
    assert json.loads(mlops("service", "list", *MODULE, "--json").out)[0]["serves"] is None
