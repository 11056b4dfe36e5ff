"""How often rules of drift warn and fail without drift, and with some: simulated days."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.options import Options
from benchmarks.tables import print_table
from mlops_assets.models.reference.summarise import summarise
from mlops_assets.models.reference.training import Compared, TrainingReference
from mlops_assets.monitoring.document import Drift, Quality, VersionDay
from mlops_assets.monitoring.rules import rules_of
from mlops_assets.serving.specification import Monitor

DAYS = 40
FEATURES, TRAINING, TEST = 10, 2000, 500
DAYS_OF_A_MODEL = 5  # each model has training samples of its own
# of a sum of four features, so that there are six classes
CLASS_EDGES = np.array([-1.2, -0.5, 0.0, 0.6, 1.3])
OF_BLOCK = 0.3  # share of the variance that samples of a block have in common
RULES = ("max_drift", "max_separation", "max_prediction_shift")


@dataclass(frozen=True)
class World:
    """Where samples are from.

    Attributes:
        name: of a row.
        block: samples of each block, which are alike; 1 for independent ones.
        one: shift of the first feature on the days, in standard deviations.
        every: shift of every feature.
    """

    name: str
    block: int = 1
    one: float = 0.0
    every: float = 0.0

    def draw(self, rng: np.random.Generator, count: int, is_day: bool) -> Compared:
        """Return samples with their predictions."""
        common = rng.normal(size=(-(-count // self.block), FEATURES))
        own = rng.normal(size=(count, FEATURES))
        share = OF_BLOCK if self.block > 1 else 0.0
        X = np.sqrt(share) * np.repeat(common, self.block, axis=0)[:count]
        X = X + np.sqrt(1 - share) * own + (self.every if is_day else 0.0)
        X[:, 0] += self.one if is_day else 0.0
        return Compared(X.astype(np.float32), _classes(X))


def _classes(X: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(CLASS_EDGES, X[:, :4].sum(axis=1) / 2), dtype=np.int64)


WORLDS = (
    (World("no drift"), (200, 1000, 5000)),
    (World("no drift, blocks of 20", block=20), (200, 1000, 5000)),
    (World("no drift, blocks of 100", block=100), (200, 1000, 5000)),
    (World("one feature by 0.5", one=0.5), (200, 1000)),
    (World("every feature by 0.3", every=0.3), (200, 1000)),
)


def measure(_: Options) -> None:
    """Print in how many of the days each rule has warned, and failed. It takes 8 minutes."""
    header = ["samples of a day", "samples", *RULES]
    print_table(header, [_row(world, count) for world, counts in WORLDS for count in counts])


def _row(world: World, count: int) -> list[str]:
    verdicts: Counter[tuple[str, str]] = Counter()
    for number in range(DAYS):
        if number % DAYS_OF_A_MODEL == 0:
            reference = _reference(world, np.random.default_rng([count, number, 0]))
        day = world.draw(np.random.default_rng([count, number, 1]), count, is_day=True)
        for rule in rules_of(_measured(reference, day), Monitor(), {}):
            verdicts[rule.name, rule.verdict] += 1
    cells = [f"{verdicts[rule, 'warned']}, {verdicts[rule, 'failed']}" for rule in RULES]
    return [world.name, f"{count:,}", *cells]


def _reference(world: World, rng: np.random.Generator) -> TrainingReference:
    training, test = (world.draw(rng, count, is_day=False) for count in (TRAINING, TEST))
    features = [f"feature_{place}" for place in range(FEATURES)]
    classes = [f"class_{place}" for place in range(len(CLASS_EDGES) + 1)]
    return summarise(features, training, test, classes)


def _measured(reference: TrainingReference, day: Compared) -> VersionDay:
    count = len(day.values)
    return VersionDay(
        version="v1",
        data_version="invented@v1",
        run_id="",
        code_version="",
        onnx="",
        requests=count,
        quality=Quality(samples=count, kept=count, invalid=0, beyond=0),
        drift=Drift.of(reference.drift(day), reference.referred),
    )
