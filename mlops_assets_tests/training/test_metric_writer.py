"""Points on their way into the registry.

In order, each once, whatever happens to the registry and the clock.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlops_assets.errors import StorageError
from mlops_assets.registry import Registry
from mlops_assets.registry.patience import patiently
from mlops_assets.registry.runs import LoggedPoint
from mlops_assets.training.metric_writer import PointWriter


class Unreachable(Registry):
    """A registry that fails some times, before or after it has written."""

    def __init__(self, url: str, failures: int, after: bool) -> None:
        super().__init__(url)
        self.failures, self.after = failures, after

    def log(self, run_id: str, points: Sequence[LoggedPoint]) -> None:
        if self.failures and points:
            self.failures -= 1
            if self.after:
                super().log(run_id, points)
            raise StorageError("the connection was lost")
        super().log(run_id, points)


@pytest.mark.parametrize(
    "after", [False, True], ids=["nothing written", "written, but not confirmed"]
)
def test_a_registry_that_is_unreachable_for_a_while_loses_and_doubles_nothing(
    after: bool, tmp_path: Path
) -> None:
    registry = Unreachable(f"sqlite:///{tmp_path}/registry.db", failures=3, after=after)
    writer = PointWriter(registry, "a-run")
    for step in range(50):
        writer.add([("loss", 1 / (step + 1)), ("accuracy", step / 50)], step)
        if step % 20 == 10:
            time.sleep(0.05)
    writer.close()
    series = registry.series("a-run")
    assert series["loss"] == [(step, 1 / (step + 1)) for step in range(50)]
    assert series["accuracy"] == [(step, step / 50) for step in range(50)]


def test_a_registry_that_stays_unreachable_is_an_error(tmp_path: Path) -> None:
    registry = Unreachable(f"sqlite:///{tmp_path}/registry.db", failures=10**6, after=False)
    with pytest.raises(StorageError, match="connection was lost"):
        patiently(lambda: registry.log("a-run", [(0, "loss", 0, 1.0, 0.0)]), seconds=0.5)


def test_points_show_while_the_trainer_is_busy(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/registry.db")
    writer = PointWriter(registry, "a-run")
    writer.add([("loss", 1.0)], 0)
    deadline = time.monotonic() + 30
    while not registry.series("a-run") and time.monotonic() < deadline:
        time.sleep(0.05)  # the writer is not called again
    assert registry.series("a-run") == {"loss": [(0, 1.0)]}
    writer.close()


def test_time_does_not_run_backwards_if_the_clock_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/registry.db")
    writer = PointWriter(registry, "a-run")
    for step in range(5):
        writer.add([("loss", 1.0)], step)
        monkeypatch.setattr(time, "time", lambda: 0.0)
    writer.close()
    with registry.reading() as session:
        logged = (
            session.connection()
            .exec_driver_sql("SELECT logged FROM points ORDER BY seq")
            .scalars()
            .all()
        )
    assert logged == sorted(logged) and logged[0] > 1e9


def test_a_resumed_run_counts_on(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/registry.db")
    for first, step in ((0, 0), (1, 1)):
        writer = PointWriter(registry, "a-run", first)
        writer.add([("loss", float(step))], step)
        writer.close()
    assert registry.series("a-run") == {"loss": [(0, 0.0), (1, 1.0)]}
