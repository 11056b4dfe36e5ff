"""What estimates are made of, fitted to a model version's own data once, and kept in the cache.

Equal data gives equal fits, so a cached one may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.versions.committed_dataset import SplitName
from mlops_assets.errors import (
    TrainingDataUnreadable,
)
from mlops_assets.models.applicability.index import ErrorProfile
from mlops_assets.models.applicability.profile import error_profile
from mlops_assets.models.evaluation.bootstrap import MIN_UNITS
from mlops_assets.models.evaluation.calibration import Scores
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.signature import raw_data, reading_training_data
from mlops_assets.monitoring.performance.calibration import (
    MIN_SAMPLES,
    REPLICATES,
    SEED,
    ClassCalibration,
    calibrate,
    widening,
)
from mlops_assets.monitoring.performance.dissimilarity import SampleIndex
from mlops_assets.monitoring.performance.held_out import (
    SPLITS,
    absolute_errors,
    calibration_samples,
)
from mlops_assets.paths import model_folder
from mlops_assets.prediction.mapped import MapIndex
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.registry.model_documents import Signature
from mlops_assets.settings import onnx_provider
from mlops_assets.store import Store

FORMAT = 1  # of the cached fits; another number leaves the old ones unread
FOLDER = "calibration"  # in the cache of the workspace


@dataclass(frozen=True)
class Fitted:
    """A calibration and what it was fitted to.

    Attributes:
        split: of the samples.
        samples: their number.
        units: number of independent units among them.
        calibration: of the confidences.
    """

    split: str
    samples: int
    units: int
    calibration: ClassCalibration


def fitted_calibration(
    store: Store, row: ModelVersion, index: MapIndex, kind: Scores
) -> Fitted | str:
    """Return the calibration of a model version, or why there is none.

    Args:
        store: workspace and registry.
        row: the model version.
        index: its dissimilarity index.
        kind: of its scores.

    Raises:
        StorageUnreachable: the workspace does not answer.
    """
    path = _path(store, row, index, f"classes {kind}")
    if (kept := _read(path)) is not None:
        calibration = ClassCalibration(kept["intercepts"], kept["slopes"], kept["distances"])
        split, count, units = (int(kept[name]) for name in ("split", "samples", "units"))
        return Fitted(SPLITS[split], count, units, calibration)
    signature = Signature.of(row)
    try:
        with reading_training_data(row):
            data = raw_data(store.workspace, store.registry, row)
            model = _model(store, row)
            found = calibration_samples(data, model, SampleIndex(index, signature), kind)
    except TrainingDataUnreadable as error:
        return str(error)
    if found is None:
        return (
            f"neither the validation nor the test split has {MIN_SAMPLES} samples inside the area"
            " of applicability, to calibrate confidences on"
        )
    used, samples = found
    calibration = calibrate(samples, len(signature.classes or []))
    _write(
        path,
        {
            "intercepts": calibration.intercepts,
            "slopes": calibration.slopes,
            "distances": calibration.distances,
            "split": np.array(SPLITS.index(used)),
            "samples": np.array(len(samples)),
            "units": np.array(samples.unit_count),
        },
    )
    return Fitted(used, len(samples), samples.unit_count, calibration)


def profile_replicates(
    store: Store, row: ModelVersion, index: MapIndex, profile: ErrorProfile
) -> NDArray[np.float64] | None:
    """Return expected errors of profiles of resampled units; None if there are none.

    That is so where the data cannot be read, or has fewer than `MIN_UNITS` units.

    Args:
        store: workspace and registry.
        row: the model version, which predicts numbers.
        index: its dissimilarity index.
        profile: its error profile.

    Returns:
        At the knots of the profile, (replicates, knots), their deviations widened as `widening`
        returns it.

    Raises:
        StorageUnreachable: the workspace does not answer.
    """
    path = _path(store, row, index, "numbers")
    if (kept := _read(path)) is not None:
        return kept["errors"]
    split: SplitName = "test" if profile.split == "test" else "validation"
    try:
        with reading_training_data(row):
            data = raw_data(store.workspace, store.registry, row)
            sampled = SampleIndex(index, Signature.of(row))
            di, error, units = absolute_errors(data, split, _model(store, row), sampled)
    except TrainingDataUnreadable:
        return None
    errors = _resampled_profiles(profile, di, error, units)
    if errors is not None:
        _write(path, {"errors": errors})
    return errors


def _resampled_profiles(
    profile: ErrorProfile,
    di: NDArray[np.float32],
    error: NDArray[np.float64],
    units: NDArray[np.int64],
) -> NDArray[np.float64] | None:
    _, codes = np.unique(units, return_inverse=True)
    members = [np.flatnonzero(codes == unit) for unit in range(int(codes.max(initial=-1)) + 1)]
    rng = np.random.default_rng(SEED)
    found = []
    for _ in range(REPLICATES if len(members) >= MIN_UNITS else 0):
        chosen = np.concatenate(
            [members[unit] for unit in rng.integers(len(members), size=len(members))]
        )
        drawn = error_profile(di[chosen], error[chosen], profile.measure, profile.split)
        if drawn is not None:
            found.append(drawn.expected(profile.di).astype(np.float64))
    if not found:
        return None
    return profile.error + widening(len(members)) * (np.stack(found) - profile.error)


def _model(store: Store, row: ModelVersion) -> OnnxModel:
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    return OnnxModel(published_path(store.workspace, store.registry, key), onnx_provider())


def _path(store: Store, row: ModelVersion, index: MapIndex, what: str) -> Path:
    """Return where a fit is kept: under a digest of all that it depends on."""
    onnx = store.registry.files_at(f"{model_folder(row.model, row.version)}/model.onnx")
    parts = [
        str(FORMAT),
        what,
        f"{row.dataset}@{row.data_version}",
        *(file.sha256 for file in onnx),
        index.sha256,
    ]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return store.workspace.cache / FOLDER / f"{digest}.npz"


def _read(path: Path) -> Mapping[str, NDArray[np.float64]] | None:
    """Return a cached fit; None if there is none, or it is damaged."""
    try:
        # np.load leaves a damaged file open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None


def _write(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Keep a fit; a cache that cannot be written leaves it to be fitted again."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            temporary = Path(file.name)
            np.savez(file, allow_pickle=False, **dict(arrays))
        temporary.replace(path)
    except OSError:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
