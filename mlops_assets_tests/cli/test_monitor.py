"""`mlops monitor`: days that were monitored, as somebody reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.settings import Settings
from mlops_assets.store import open_store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.monitoring.monitored import monitored, version_day


@pytest.fixture
def days(project: Path) -> None:
    """Three days of `crops`: a good one, one without requests, a bad one."""
    store = open_store(Settings.from_environment())
    monitored(store, "02", version_day(max_outside="passed"))
    monitored(store, "03")
    monitored(store, "04", version_day(max_outside="failed", max_drift="warned"))


@pytest.mark.usefixtures("days")
def test_show_lists_the_last_days_oldest_first(mlops: Mlops) -> None:
    lines = [line.split() for line in mlops("monitor", "show", "crops").out.splitlines()]
    assert [line[0] for line in lines[1:]] == ["2026-11-02", "2026-11-03", "2026-11-04"]
    assert lines[2][1:] == ["no", "request", "0"]
    assert lines[3][-2:] == ["max_outside", "max_drift"]
    (last,) = mlops("monitor", "show", "crops", "--days", "1", "--json").json
    assert last["day"] == "2026-11-04"
    one = mlops("monitor", "show", "crops", "--day", "2026-11-04").out
    assert "failed  max_outside: max_outside: 31 %, limit 20 %" in one


@pytest.mark.usefixtures("days")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "crops", "--day", "2026-11-09"], "was not monitored on 2026-11-09"),
        (["show", "crops", "--day", "20261104"], "must be written YYYY-MM-DD"),
        (["show", "crops", "--lineage"], "give it with --day"),
        (["run", "crops", "--day", "2999-01-01"], "2999-01-01 is in the future"),
        (["run", "crops", "--day", "2026-11-04"], "no service of 'crops' is declared"),
    ],
)
def test_what_cannot_be_shown_or_measured_is_named(
    mlops: Mlops, arguments: list[str], message: str
) -> None:
    outcome = mlops("monitor", *arguments)
    assert outcome.code != 0
    assert message in outcome.err


@pytest.mark.usefixtures("project")
def test_a_model_without_a_monitored_day_names_the_command(mlops: Mlops) -> None:
    outcome = mlops("monitor", "show", "crops")
    assert (outcome.code, outcome.out.strip()) == (
        0,
        "no day was monitored; run 'mlops monitor run MODEL'",
    )
