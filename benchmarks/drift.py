"""Drift of logged samples: its speed beside Evidently, and limits checked on Indian Pines."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.options import Options
from benchmarks.peer_environments import install_peer
from benchmarks.processes import take_steps
from benchmarks.tables import print_table
from mlops_assets.cli.demo import load_indian_pines
from mlops_assets.models.reference.document import Referred
from mlops_assets.models.reference.measures import DriftMeasures
from mlops_assets.models.reference.summarise import summarise
from mlops_assets.models.reference.training import Compared
from mlops_assets.monitoring.document import Drift, Quality, Verdict, VersionDay
from mlops_assets.monitoring.rules import rules_of
from mlops_assets.serving.specification import Monitor

FEATURES = 30
REFERENCE = 100_000
DAYS = 30
HALF = 73  # rows above are trained on
_PEER_SCRIPT = Path(__file__).with_name("drift_peer.py")
# of Evidently → the step that measures it; both distances of sorted values are from one
_STATISTICS = {
    "ks": "sorted",
    "wasserstein": "sorted",
    "psi": "psi",
    "jensenshannon": "jensenshannon",
}


def measure(options: Options) -> None:
    """Print CPU-seconds of each statistic, of large days, and drift of changed spectra.

    It takes about 3 minutes of one core.
    """
    _beside_evidently(options.folder)
    _large_days(options.folder)
    _indian_pines()


def _write(folder: Path, day: int) -> None:
    rng = np.random.default_rng(0)
    for name, count, shift in (("reference", REFERENCE, 0.0), ("day", day, 0.05)):
        values = rng.normal(shift, size=(count, FEATURES)).astype(np.float32)
        np.save(folder / f"{name}.npy", values)


def _beside_evidently(folder: Path) -> None:
    _write(folder, REFERENCE)
    ours = take_steps("benchmarks.drift_steps", str(folder))
    program = install_peer("evidently") / "python"
    rows = []
    for method, name in _STATISTICS.items():
        answer = subprocess.run(
            [str(program), "-P", str(_PEER_SCRIPT), str(folder), method],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )
        theirs = json.loads(answer.stdout.splitlines()[-1])
        seconds = ours.cpu[name]
        score = ours.facts.get(method)
        rows.append(
            [
                method,
                f"{seconds:.2f}",
                f"{theirs['seconds']:.2f}",
                f"{theirs['seconds'] / seconds:.0f}",
                "–" if score is None else f"{score:.4f}",
                f"{theirs['score']:.4f}" if score is not None else "p-value",
            ]
        )
    header = [f"{REFERENCE:,} × {FEATURES}", "ours, CPU s", "Evidently 0.7.23, CPU s", "times"]
    print_table([*header, "our first column", "Evidently's"], rows)


def _large_days(folder: Path) -> None:
    rows = []
    for day in (REFERENCE, 1_000_000):
        _write(folder, day)
        found = take_steps("benchmarks.drift_steps", str(folder))
        peak = "–" if found.peak_mib is None else f"{found.peak_mib:.0f}"
        rows.append(
            [f"{day:,} × {FEATURES}", f"{found.cpu['all']:.1f}", f"{found.cpu['reference']:.1f}"]
        )
        rows[-1].append(peak)
    header = ["a day of", "all measures, CPU s (wanted: 15)", "reference, CPU s"]
    print_table([*header, "peak MiB (wanted: 2,048)"], rows)


@dataclass(frozen=True)
class _Pixels:
    """Spectra, (n, bands), and their class, (n,)."""

    values: NDArray[np.float32]
    classes: NDArray[np.int64]

    def some(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> _Pixels:
        return _Pixels(self.values[chosen], self.classes[chosen])


def _indian_pines() -> None:
    """Print how often days without drift pass the limits, and what changed days measure."""
    from sklearn.ensemble import RandomForestClassifier

    scene, labels = load_indian_pines()
    rows = np.repeat(np.arange(len(labels)), labels.shape[1])
    pixels = _Pixels(
        scene.reshape(len(scene), -1).T.astype(np.float32), labels.ravel().astype(np.int64)
    )
    known = pixels.classes > 0
    upper = np.flatnonzero(known & (rows < HALF))
    lower = pixels.some(known & (rows >= HALF))
    rng = np.random.default_rng(0)
    # two thirds are trained on, of the rest half is the test split, and days are of the other half
    order = rng.permutation(upper)
    train, test, pool = (
        pixels.some(np.sort(part))
        for part in np.split(order, [2 * len(order) // 3, 5 * len(order) // 6])
    )
    forest = RandomForestClassifier(n_estimators=50, random_state=0).fit(
        train.values, train.classes
    )

    def compared(values: NDArray[np.float32]) -> Compared:
        return Compared(values, forest.predict(values) - 1)

    reference = summarise(
        [f"band_{place}" for place in range(1, len(scene) + 1)],
        compared(train.values),
        compared(test.values),
        [str(value) for value in range(1, 17)],
    )
    print(f"{len(train.values):,} training, {len(test.values):,} test spectra of the upper half.\n")
    spread = train.values.std(axis=0)
    table = []
    for count in (200, 500, 1000):
        days = [
            reference.drift(compared(pool.values[rng.integers(0, len(pool.values), count)]))
            for _ in range(DAYS)
        ]
        table.append(_row(f"no drift, {DAYS} days of {count:,}", days, reference.referred))
    day = pool.values[rng.integers(0, len(pool.values), 1000)]
    noise = rng.normal(size=day.shape).astype(np.float32)
    shuffled = rng.permuted(day, axis=0)
    changed = {
        "lower half of the scene": lower.values[rng.integers(0, len(lower.values), 1000)],
        "gain 1.01": day * np.float32(1.01),
        "gain 1.05": day * np.float32(1.05),
        "gain 1.1": day * np.float32(1.1),
        "offset 0.1 standard deviations": day + np.float32(0.1) * spread,
        "offset 0.3 standard deviations": day + np.float32(0.3) * spread,
        "noise 0.1 standard deviations": day + np.float32(0.1) * spread * noise,
        "noise 0.5 standard deviations": day + np.float32(0.5) * spread * noise,
        "each band permuted": shuffled,
    }
    for name, values in changed.items():
        measured = [reference.drift(compared(values))]
        table.append(_row(name, measured, reference.referred))
    test_drift = reference.referred.test
    assert test_drift is not None
    table.insert(0, _row("test split", [test_drift], reference.referred))
    header = ["1,000 spectra", "PSI", "KS", "Wasserstein", "separation", "prediction shift"]
    print_table([*header, "warned", "failed"], table)


def _row(name: str, days: list[DriftMeasures], referred: Referred) -> list[str]:
    """Return the cells of a table: the largest of each measure, and days with such verdicts."""
    measures = [
        [own.psi or 0.0 for own in days],
        [max(feature.ks for feature in own.features) for own in days],
        [max(feature.wasserstein for feature in own.features) for own in days],
        [own.separation or 0.5 for own in days],
        [own.prediction_shift or 0.0 for own in days],
    ]
    verdicts = [_verdicts(own, referred) for own in days]
    warned, failed = (sum(verdict in own for own in verdicts) for verdict in ("warned", "failed"))
    of = len(days)
    cells = [f"{max(own):.3f}" for own in measures]
    return [name, *cells, f"{warned} of {of}", f"{failed} of {of}"]


def _verdicts(measured: DriftMeasures, referred: Referred) -> set[Verdict]:
    """Return the verdicts of the rules on a day's drift, by the default limits."""
    samples = measured.samples
    day = VersionDay(
        version="v1",
        data_version="indian_pines@v1",
        run_id="",
        code_version="",
        onnx="",
        requests=samples,
        quality=Quality(samples=samples, kept=samples, invalid=0, beyond=0),
        drift=Drift.of(measured, referred),
    )
    return {rule.verdict for rule in rules_of(day, Monitor(), {})}
