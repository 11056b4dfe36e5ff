"""Committing and reading training data in a fresh process.

`python -m benchmarks.reading_steps STEP SPECIFICATION TASK`.

`commit` and `decode` report the time and the memory they take; `epochs` goes through the training
split in several ways, ours and bare NumPy in turns; `stream` does so without the decoded cache,
beside bare requests to the same server.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import torch  # noqa: TID253 - a process of its own
from numpy.typing import NDArray

from benchmarks.measured import Steps
from benchmarks.tables import median
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.recall.objects import REQUESTS, StoredFile, grouped, stored_files
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset, SplitName
from mlops_assets.names import Reference
from mlops_assets.paths import pack_key
from mlops_assets.registry import open_registry
from mlops_assets.settings import Settings
from mlops_assets.storage import Workspace
from mlops_assets.storage.stores import open_object_store

_ROUNDS = 7
_SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")

Batches = Iterator[tuple[Any, Any]]
Preparing = Callable[[NDArray[np.generic]], NDArray[np.float32]]


def main(step: str, declared: str, task: str, batch: str = "64") -> None:
    """Take one step with the dataset that a file declares, as JSON.

    `batch` is the size of a batch of `epochs`.
    """
    settings = Settings.from_environment()
    workspace = Workspace(settings.workspace, settings.cache)
    registry = open_registry(settings.registry)
    specification = DatasetSpecification.model_validate_json(Path(declared).read_text())
    taken = Steps()
    if step == "commit":
        with taken.step(step):
            samples = commit(workspace, registry, specification).version.samples
        taken.report(samples=samples)
        return
    committed = CommittedDataset.open(workspace, registry, Reference(specification.name))
    data = TrainingData(committed, task)
    if step == "decode":
        with taken.step(step):
            size = sum(data.memmap(split)[0].nbytes for split in _SPLITS)
        taken.report(mib=size / 2**20)
    elif step == "stream":
        _stream(data, taken, int(batch))
    else:
        half = data.features[::2]
        prepared = TrainingData(committed, task, bands=half, scaling="standardize")
        _epochs(data, prepared, taken, int(batch))


def _epochs(data: TrainingData, prepared: TrainingData, taken: Steps, size: int) -> None:
    """Measure an epoch in each way, after one that is not counted.

    Each way yields every sample once; `prepared` selects and scales them.
    """
    X, y = data.memmap("train")
    bare = np.load(data.decoded("train").folder / "X.npy", mmap_mode="r")
    random = np.random.default_rng(0)
    loader = data.loader("train", size, seed=0)
    prepared_loader = prepared.loader("train", size, seed=0)
    by_hand = _prepare_by_hand(prepared)
    ways: dict[str, Callable[[], Batches]] = {
        "ours, raw": lambda: _in_order(X, y, size),
        "bare, raw": lambda: _in_order(bare, y, size),
        "ours, float32": lambda: data.batches("train", size),
        "bare, float32": lambda: ((_as_float(x), t) for x, t in _in_order(bare, y, size)),
        "ours, prepared": lambda: prepared.batches("train", size),
        "bare, prepared": lambda: ((by_hand(x), t) for x, t in _in_order(bare, y, size)),
        "ours, loader": lambda: iter(loader),
        "bare, loader": lambda: _shuffled(bare, y, size, random, _as_float),
        "ours, prepared loader": lambda: iter(prepared_loader),
        "bare, prepared loader": lambda: _shuffled(bare, y, size, random, by_hand),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    worked: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(_ROUNDS + 1):
        for way in list(ways) if number % 2 == 0 else reversed(list(ways)):
            started, at_work = time.perf_counter(), time.process_time()
            seen = sum(_touched(X) if way.endswith("raw") else len(X) for X, _ in ways[way]())
            if number:
                times[way].append(time.perf_counter() - started)
                worked[way].append(time.process_time() - at_work)
            if seen != len(bare):
                raise RuntimeError(f"{way} gave {seen} of {len(bare)} samples")
    taken.seconds.update({way: median(found) for way, found in times.items()})
    taken.cpu.update({way: median(found) for way, found in worked.items()})
    taken.report(samples=len(X), mib=X.nbytes / 2**20)


def _stream(data: TrainingData, taken: Steps, size: int) -> None:
    """Measure an epoch in each way, after one that is not counted, in turns."""
    committed = data.committed
    paths = set(committed.split("train")["path"])
    files = [file for file in stored_files(committed.manifest) if file.path in paths]
    if any(file.pack is None for file in files):
        raise RuntimeError("chips are in no packs; unset MLOPS_PACK_BELOW")
    ranges = grouped(files)
    store = open_object_store(committed.workspace.url)

    def get(group: Sequence[StoredFile]) -> memoryview:
        end = max(file.offset + file.size for file in group)
        key = pack_key(str(group[0].pack))
        return memoryview(obstore.get_range(store, key, start=group[0].offset, end=end))

    def get_hashed(group: Sequence[StoredFile]) -> None:
        content = get(group)
        for file in group:
            start = file.offset - group[0].offset
            if hashlib.sha256(content[start : start + file.size]).hexdigest() != file.sha256:
                raise RuntimeError(f"{file.path} has changed")

    def bare(work: Callable[[Sequence[StoredFile]], object]) -> None:
        with ThreadPoolExecutor(REQUESTS) as pool:
            for _ in pool.map(work, ranges):
                pass

    def read(batches: Iterator[tuple[Any, Any]]) -> None:
        if sum(len(X) for X, _ in batches) != len(files):
            raise RuntimeError("samples are missing")

    in_runs = data.loader("train", size, seed=0, shuffle="runs")
    in_any_order = data.loader("train", size, seed=0)
    ways: dict[str, Callable[[], None]] = {
        "bare": lambda: bare(lambda group: len(get(group))),
        "hashed": lambda: bare(get_hashed),
        "batches": lambda: read(data.batches("train", size)),
        "runs": lambda: read(iter(in_runs)),
        "samples": lambda: read(iter(in_any_order)),
    }
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for number in range(_ROUNDS + 1):
        for way in list(ways) if number % 2 == 0 else reversed(list(ways)):
            started, at_work = time.perf_counter(), time.process_time()
            ways[way]()
            if number:
                found[way].append((time.perf_counter() - started, time.process_time() - at_work))
    taken.seconds.update({way: median([wall for wall, _ in own]) for way, own in found.items()})
    taken.cpu.update({way: median([worked for _, worked in own]) for way, own in found.items()})
    taken.report(samples=len(files), mib=sum(file.size for file in files) / 2**20)


def _in_order(X: NDArray[np.generic], y: NDArray[np.generic], size: int) -> Batches:
    for start in range(0, len(X), size):
        yield X[start : start + size], y[start : start + size]


def _as_float(X: NDArray[np.generic]) -> NDArray[np.float32]:
    return X.astype(np.float32)


def _prepare_by_hand(data: TrainingData) -> Preparing:
    """Return what a loop without us would do to select and scale a batch."""
    chosen = [data.source_features.index(name) for name in data.features]
    scaling = data.scaling
    if scaling is None:
        raise RuntimeError("nothing is scaled")
    shape = (-1,) + (1,) * (len(data.sample_shape) - 1)
    offset, divisor = scaling.offset.reshape(shape), scaling.divisor.reshape(shape)

    def prepare(X: NDArray[np.generic]) -> NDArray[np.float32]:
        prepared = X[:, chosen].astype(np.float32)
        prepared -= offset
        prepared /= divisor
        return prepared

    return prepare


def _shuffled(
    X: NDArray[np.generic],
    y: NDArray[np.generic],
    size: int,
    random: np.random.Generator,
    prepare: Preparing,
) -> Batches:
    order = random.permutation(len(X))
    for start in range(0, len(X), size):
        chosen = order[start : start + size]
        yield (
            torch.from_numpy(prepare(X[chosen])),
            torch.from_numpy(np.asarray(y[chosen], dtype=np.int64)),
        )


def _touched(X: NDArray[np.number]) -> int:
    """Read every value, as a memory-mapped array is read only then."""
    X.sum()
    return len(X)


if __name__ == "__main__":
    main(*sys.argv[1:])
