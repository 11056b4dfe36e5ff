"""A season in use on real pixels: drift is seen, a model is retrained once, and recovers.

What is asserted is what was wanted of the platform before it was measured; docs/season.md has the
numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from benchmarks.season import (
    DATASET,
    DAYS,
    EAST,
    GAIN,
    LANDING,
    LATE,
    MODEL,
    NOISE,
    Season,
    Simulation,
    name_of,
)
from mlops_assets.lineage.alarms import alarm_lineage
from mlops_assets.lineage.chain import model_lineage
from mlops_assets.models.verify import verify_all
from mlops_assets.names import Reference
from mlops_assets.paths import monitoring_key, requests_key, truth_key
from mlops_assets.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster").mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / "dagster")) as made:
        yield made


def first_alarm(season: Season, since: int) -> int:
    """The first day of a phase with a failed rule, counted from its beginning."""
    return next(day for day in range(since, DAYS + 1) if season.failed(day)) - since + 1


@pytest.mark.timeout(1500)
def test_a_season(store: Store, instance: dg.DagsterInstance) -> None:
    simulation = Simulation(store, instance)
    season = simulation.run()

    false_alarms = [day for day in range(1, EAST) if season.failed(day)]
    assert len(false_alarms) <= 1
    assert [first_alarm(season, since) <= 2 for since in (EAST, GAIN, NOISE)] == [True] * 3

    # also in another part of the scene, where equal inputs have other labels: nothing is estimated
    errors = {
        day: error
        for day in range(1, DAYS + 1)
        if (error := season.estimate_error(day)) is not None
    }
    assert max(map(abs, errors.values())) <= 0.05
    assert set(errors) == {*range(1, EAST), *range(LANDING + 1, GAIN)}

    assert season.requested == [LANDING]
    assert "cool-down" in simulation.reasons[GAIN + 2] or "no data" in simulation.reasons[GAIN + 2]
    new = store.registry.model_version(Reference(MODEL, "production"))
    assert new.data_version == "v2"
    drifted, recovered = (
        float(np.mean([live for day in days if (live := season.live(day)) is not None]))
        for days in (range(EAST, LANDING + 1), range(LANDING + 1, GAIN))
    )
    assert recovered > drifted + 0.05
    assert recovered > new.metrics["accuracy"] - 0.05

    (alarm, *_) = [
        each for each in store.registry.alarms(MODEL)[::-1] if each.orchestration_run is not None
    ]
    line = alarm_lineage(store, alarm).line()
    assert f"{MODEL}@{new.version} → production by tester" in line
    # from the live number to the checksums of files
    day = name_of(LANDING + 1)
    document = season.documents[LANDING + 1]
    for key in (requests_key(MODEL, day), truth_key(MODEL, day)):
        (file,) = store.registry.files_at(key)
        assert document.inputs[key] == file.sha256
    assert store.registry.files_at(monitoring_key(MODEL, day))
    chain = model_lineage(store, Reference(MODEL, season.busiest(LANDING + 1).version))
    assert chain.trained_on == f"{DATASET}@v2"
    assert {file.path for file in chain.data[0].files} == {"v1.csv", "v2.csv"}
    assert verify_all(store).problems == []
    assert max(season.documents) == DAYS
    assert season.live(DAYS - LATE) is not None
