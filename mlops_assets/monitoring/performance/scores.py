"""The scores of a model version: what kind they are, and how sure they are of a class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlops_assets.models.evaluation.calibration import Scores
from mlops_assets.models.onnx.graph import kind_of_scores
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.store import Store

# probabilities of float32 that are 0 or 1 have no log-odds
_LEAST = 1e-6


def kind_of(store: Store, row: ModelVersion) -> Scores | None:
    """Return whether the scores of a model version are probabilities or logits.

    That is known from its ONNX file, never from values.

    Returns:
        None where it has none, or their kind is unknown.

    Raises:
        IntegrityError: its ONNX file is not as it was published.
        StorageError: it has none yet.
    """
    import onnx

    key = f"{model_folder(row.model, row.version)}/model.onnx"
    path = published_path(store.workspace, store.registry, key)
    return kind_of_scores(onnx.load(path), row.framework)


def log_odds(
    scores: NDArray[np.number], labels: NDArray[np.integer], kind: Scores
) -> NDArray[np.float64]:
    """Return how sure a model is of the classes that it predicts: log(p / (1 - p)).

    Args:
        scores: of the classes, (n, classes).
        labels: predicted class index, (n,), at least 0.
        kind: of the scores; logits become probabilities by softmax, without rounding to 1.

    Returns:
        (n,), limited to ±13.8, the log-odds of 1 - 1e-6; NaN where a score is not finite.
    """
    from scipy.special import logsumexp

    exact = scores.astype(np.float64)
    most = -np.log(_LEAST)
    own = np.take_along_axis(exact, labels[:, None].astype(np.int64), axis=1)[:, 0]
    if kind == "probabilities":
        p = np.clip(own, _LEAST, 1 - _LEAST)
        odds = np.log(p) - np.log1p(-p)
    elif exact.shape[1] == 1:
        odds = np.full(len(exact), most)
    else:
        others = exact.copy()
        np.put_along_axis(others, labels[:, None].astype(np.int64), -np.inf, axis=1)
        with np.errstate(invalid="ignore"):
            odds = own - logsumexp(others, axis=1)
    odds[~np.isfinite(exact).all(axis=1)] = np.nan
    return np.asarray(np.clip(odds, -most, most), dtype=np.float64)
