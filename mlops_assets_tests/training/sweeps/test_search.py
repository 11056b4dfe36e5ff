"""The next parameters of a sweep, and the trials that it stops.

They are decided from runs in the registry, on SQLite and PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from mlops_assets.errors import SpecificationError, TrialPruned
from mlops_assets.models.specification import Gate
from mlops_assets.registry import Registry, Run
from mlops_assets.registry.store import now
from mlops_assets.text.json_values import Json
from mlops_assets.training.request import Pruning
from mlops_assets.training.sweeps import pruning
from mlops_assets.training.sweeps.objective import Objective, direction_of, objective_of
from mlops_assets.training.sweeps.plan import Plan
from mlops_assets.training.sweeps.pruning import pruner
from mlops_assets.training.sweeps.settings import SweepSettings
from mlops_assets.training.sweeps.trials import SWEEP, TRIAL, Trial, trials_of
from mlops_assets_tests.training.sweeps.trainers import planned

LOSS = Objective("validation_loss", "minimize")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """An empty registry of each kind."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_database")()
    made = Registry(url)
    yield made
    made.close()


def begin(registry: Registry, number: int, sweep: str = "s", **parameters: Any) -> str:
    """Record the run of a trial that continues."""
    run_id = f"{sweep}-{number}"
    registry.start_run(
        Run(
            run_id=run_id,
            model="crops",
            dataset="fields",
            data_version="v1",
            data_digest="0",
            status="running",
            parameters=parameters,
            seed=0,
            trainer="t",
            code_version="c",
            hardware={},
            metrics={},
            started=now(),
            host="h",
            pid=1,
            tags={SWEEP: sweep, TRIAL: str(number)},
        )
    )
    return run_id


def log(registry: Registry, run_id: str, values: list[float], first: int = 0) -> None:
    registry.log(
        run_id,
        [(step, "validation_loss", step, value, 0.0) for step, value in enumerate(values, first)],
    )


def succeed(registry: Registry, number: int, values: list[float], **parameters: Any) -> None:
    """Record a trial that is done."""
    run_id = begin(registry, number, **parameters)
    log(registry, run_id, values)
    with registry.transaction("change") as session:
        run = session.get(Run, run_id)
        assert run is not None
        run.status, run.metrics = "succeeded", {"validation_loss": values[-1], "train_loss": 0.0}


def test_trials_are_the_runs_of_their_tags_by_number_with_their_series(registry: Registry) -> None:
    succeed(registry, 10, [3.0, 1.0], depth=2)
    log(registry, begin(registry, 2, depth=3), [5.0])
    begin(registry, 2, sweep="other")
    found = trials_of(registry, "crops", "s", "validation_loss")
    assert [(trial.number, trial.state) for trial in found] == [(2, "running"), (10, "succeeded")]
    assert [trial.series for trial in found] == [((0, 5.0),), ((0, 3.0), (1, 1.0))]
    assert found[1].parameters == {"depth": 2} and LOSS.value(found[1]) == 1.0
    assert [trial.series for trial in trials_of(registry, "crops", "s")] == [(), ()]
    assert trials_of(registry, "maize", "s") == []


def trial(
    number: int, loss: float | None = None, state: Any = "succeeded", **parameters: Any
) -> Trial:
    return Trial(
        number,
        state,
        parameters,
        {} if loss is None else {"validation_loss": loss},
        f"run-{number}",
    )


def quality(parameters: Mapping[str, Json]) -> float:
    found = parameters["quality"]
    assert isinstance(found, float)
    return found


def bowl(plan: Plan, trials: int) -> list[Trial]:
    """Trials of a sweep whose loss is lowest at quality 0.3."""
    made: list[Trial] = []
    for number in range(trials):
        found = plan.search().suggest(number, made, LOSS if made else None)
        made.append(trial(number, (quality(found) - 0.3) ** 2, **found))
    return made


QUALITY = {"quality": {"min": 0, "max": 1}, "layers": {"choices": [[4], [8, 8]]}}


@pytest.mark.parametrize("method", ["tpe", "random"])
def test_trials_depend_on_seed_number_and_earlier_trials_alone(method: str) -> None:
    plan = planned(QUALITY, method=method)
    made = bowl(plan, 16)
    assert bowl(plan, 16) == made
    assert bowl(planned(QUALITY, method=method, seed=1), 16) != made
    assert len({t.parameters["quality"] for t in made}) == 16
    # later ones do not count
    assert plan.search().suggest(12, made, LOSS) == dict(made[12].parameters)
    assert {str(t.parameters["layers"]) for t in made} == {"[4]", "[8, 8]"}


def test_tpe_learns_from_the_trials() -> None:
    made = bowl(planned({"quality": {"min": 0, "max": 1}}, seed=1), 40)
    early = sum(abs(quality(t.parameters) - 0.3) for t in made[:10]) / 10
    late = sum(abs(quality(t.parameters) - 0.3) for t in made[30:]) / 10
    assert late < early / 2


def test_failed_canceled_and_running_trials_are_no_obstacle() -> None:
    plan = planned(QUALITY)
    made = [
        trial(0, 1.0, quality=0.1, layers=[4]),
        trial(1, state="failed", quality=0.2, layers=[4]),
        trial(3, state="running", quality=0.3, layers=[8, 8]),
        trial(4, float("nan"), quality=0.4, layers=[4]),
        Trial(
            5,
            "pruned",
            {"quality": 0.5, "layers": [4]},
            {"validation_loss": 3.0},
            series=((0, 4.0), (1, 3.0)),
        ),
    ]
    assert set(plan.search().suggest(6, made, LOSS)) == {"quality", "layers"}


def test_a_trial_from_another_space_is_refused() -> None:
    with pytest.raises(
        SpecificationError,
        match=r"trial 0 was run with quality = 7, which the space does not have",
    ):
        planned(QUALITY).search().suggest(1, [trial(0, 1.0, quality=7, layers=[4])], LOSS)


def test_importances_find_the_parameter_that_matters() -> None:
    plan = planned(
        {"quality": {"min": 0, "max": 1}, "depth": {"min": 1, "max": 8}}, method="random"
    )
    found = plan.search().importances(bowl(plan, 30), LOSS)
    assert next(iter(found)) == "quality" and sum(
        share or 0 for share in found.values()
    ) == pytest.approx(1)
    assert plan.search().importances(bowl(plan, 1), LOSS) == {}
    for depths in ([1] * 5, range(1, 6)):
        one_varied = [trial(n, n / 4, quality=0.5, depth=depth) for n, depth in enumerate(depths)]
        assert plan.search().importances(one_varied, LOSS) == {}


def test_the_importance_of_a_parameter_that_never_varied_is_unknown() -> None:
    plan = planned(
        {
            "quality": {"min": 0, "max": 1},
            "depth": {"min": 1, "max": 8},
            "steps": {"min": 1, "max": 9},
        },
        method="random",
    )
    trials = [
        trial(number, float(number % 5), quality=number % 5 / 4, depth=1 + number % 3, steps=1)
        for number in range(10)
    ]
    found = plan.search().importances(trials, LOSS)
    assert list(found)[-1] == "steps" and found["steps"] is None
    assert sum(share or 0 for share in found.values()) == pytest.approx(1)


def settings(**changes: Any) -> SweepSettings:
    return SweepSettings.model_validate({"parameters": {"depth": {"min": 1, "max": 2}}, **changes})


@pytest.mark.parametrize(
    ("logged", "gates", "expected"),
    [
        (
            ["validation_loss", "validation_accuracy", "accuracy"],
            [],
            ("validation_accuracy", "maximize"),
        ),
        (
            ["validation_loss", "validation_accuracy"],
            ["kappa"],
            ("validation_accuracy", "maximize"),
        ),
        (["val_loss", "val_macro_f1", "val_accuracy"], ["accuracy"], ("val_accuracy", "maximize")),
        (["train_loss", "validation_rmse", "validation_loss"], [], ("validation_rmse", "minimize")),
        (["validation_loss", "test_accuracy"], [], ("validation_loss", "minimize")),
        (["validation_fitness", "validation_my_error"], [], ("validation_my_error", "minimize")),
    ],
)
def test_what_is_optimised_is_chosen_from_what_the_first_trial_logged(
    logged: list[str], gates: list[str], expected: tuple[str, str]
) -> None:
    trials = [trial(0, state="failed"), Trial(1, "succeeded", {}, dict.fromkeys(logged, 0.5))]
    found = objective_of(settings(), trials, [Gate(metric=name, min=0.5) for name in gates])
    assert found == Objective(*expected)  # type: ignore[arg-type]
    assert objective_of(settings(), trials[:1], []) is None


def test_a_metric_that_is_not_logged_is_refused_with_those_that_are() -> None:
    trials = [Trial(4, "succeeded", {}, {"train_loss": 0.5, "test_accuracy": 0.5})]
    with pytest.raises(
        SpecificationError, match=r"of the validation split .*trial 4 logged test_accuracy, train_"
    ):
        objective_of(settings(), trials, [])
    with pytest.raises(
        SpecificationError,
        match="'validation_f1' is not logged; trial 4 logged test_accuracy, train",
    ):
        objective_of(settings(metric="validation_f1"), trials, [])
    assert objective_of(settings(metric="train_loss"), trials, []) == Objective(
        "train_loss", "minimize"
    )
    with pytest.raises(SpecificationError, match="set minimize or maximize"):
        direction_of("validation_fitness")
    assert direction_of("validation_fitness", "maximize") == "maximize"


def test_trials_are_ranked_by_value_then_by_number() -> None:
    trials = [
        trial(0, 2.0),
        trial(1, 1.0),
        trial(2, 1.0),
        trial(3, 0.1, "pruned"),
        trial(4, float("nan")),
    ]
    assert [t.number for t in LOSS.ranked(trials)] == [1, 2, 0]
    assert [t.number for t in Objective("validation_loss", "maximize").ranked(trials)] == [0, 1, 2]


def watch(
    registry: Registry, number: int, name: Literal["median", "hyperband"]
) -> Callable[[float, int], None]:
    watcher = pruner(
        registry,
        "crops",
        Pruning(sweep="s", trial=number, metric="validation_loss", direction="minimize", name=name),
    )
    return lambda value, step: watcher({"validation_loss": value}, step)


def pruned_at(watcher: Callable[[float, int], None], values: list[float]) -> int | None:
    for step, value in enumerate(values):
        try:
            watcher(value, step)
        except TrialPruned as error:
            assert f"at step {step}: validation_loss is {value:.6g}" in str(error)
            return step
    return None


def test_the_median_pruner_stops_what_is_worse_than_half_of_the_others(registry: Registry) -> None:
    curves = [[1.0 + number, 0.9 + number, 0.8 + number] for number in range(5)]
    for number, values in enumerate(curves[:4]):
        succeed(registry, number, values)
    begin(registry, 9)
    # too few to compare with
    assert pruned_at(watch(registry, 9, "median"), [99.0, 99.0, 99.0]) is None
    succeed(registry, 4, curves[4])
    assert pruned_at(watch(registry, 9, "median"), [99.0, 99.0]) == 0
    # its best so far counts
    assert pruned_at(watch(registry, 9, "median"), [1.0, 3.5, 3.5]) is None
    assert pruned_at(watch(registry, 9, "median"), [3.5, 2.95, 2.85]) == 0
    watch(registry, 9, "median")(float(1), 7)  # no other trial came so far
    pruner(
        registry,
        "crops",
        Pruning(sweep="s", trial=9, metric="validation_loss", direction="minimize", name="median"),
    )({"train_loss": 99.0}, 0)


def test_hyperband_stops_what_is_not_among_the_best_third_of_its_bracket(
    registry: Registry,
) -> None:
    steps = 9
    for number in range(12):
        succeed(registry, number, [10.0 + number - step / 10 for step in range(steps)])
    bad, good = [99.0] * steps, [1.0] * steps
    stopped = {
        number: pruned_at(watch(registry, number, "hyperband"), bad) for number in range(12, 24)
    }
    # three brackets, the last of which lets all of them run
    assert set(stopped.values()) == {
        1,
        3,
        None,
    }
    assert all(pruned_at(watch(registry, number, "hyperband"), good) is None for number in stopped)


def test_a_resumed_trial_is_judged_by_its_whole_past(registry: Registry) -> None:
    for number in range(5):
        succeed(registry, number, [2.0, 2.0, 2.0])
    run_id = begin(registry, 5)
    log(registry, run_id, [1.0])  # before it was interrupted
    watcher = watch(registry, 5, "median")
    watcher(9.0, 1)
    watcher(9.0, 1)  # logged twice
    assert pruned_at(watch(registry, 6, "median"), [9.0]) == 0


def test_the_other_trials_are_read_again_after_a_while(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "REFRESH_SECONDS", 0.0)
    watcher = watch(registry, 9, "median")
    watcher(9.0, 0)
    for number in range(5):
        succeed(registry, number, [2.0, 2.0])
    with pytest.raises(TrialPruned):
        watcher(9.0, 1)
