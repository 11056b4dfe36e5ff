"""The trial of an ONNX file of anybody on samples of the data that it is to be used on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.errors import ExportError, NotFound
from mlops_assets.models.export import uploaded_onnx
from mlops_assets.models.onnx.session import OnnxModel

_BATCHES = (1, 7)  # besides all samples at once; one and an odd size reveal a fixed batch axis
_SAMPLES = 35


def require_runs_on(path: Path, data: TrainingData) -> None:
    """Check that an ONNX file keeps the platform's contract, and runs on samples of the test split.

    Args:
        path: the file.
        data: the data version, raw, as the model takes it.

    Raises:
        ExportError: it has other inputs or outputs, does not run on them, or gives other results
            in other batches.
        NotFound: there is no test sample.
    """
    uploaded_onnx.read_sent(path, data.sample_shape, data.task, len(data.class_names))
    X, y = data.arrays("test", limit=_SAMPLES)
    if not len(X):
        raise NotFound(
            f"{data.reference} has no test sample, and a model of others is evaluated on them;"
            " change 'split' or name another data version"
        )
    require_gives(path, X, data.class_names, y.shape[1:])


def require_gives(
    path: Path, X: NDArray[np.float32], classes: Sequence[str], pixels: tuple[int, ...]
) -> None:
    """Check that an ONNX file runs on samples, also one by one, and gives what it should.

    Args:
        path: the file.
        X: samples, (n, *sample_shape), raw.
        classes: names of the classes.
        pixels: height and width of what it gives for each sample; empty for one class or number.

    Raises:
        ExportError: it does not run on them, gives something else, or other results in other
            batches.
    """
    session = OnnxModel(path)
    outputs = session.predict(X, len(X))
    if "scores" in outputs:
        # the class of a tie may be another one in other batches
        outputs.pop("label", None)
    for name, whole in outputs.items():
        expected = (len(X), *([len(classes)] if name == "scores" else []), *pixels)
        if whole.shape != expected:
            raise ExportError(f"it returns {name} of shape {whole.shape}, not {expected}")
        for batch in _BATCHES:
            again = session.predict(X, batch)[name]
            if not np.allclose(again, whole, rtol=1e-3, atol=1e-4, equal_nan=True):
                raise ExportError(
                    f"it returns other {name} for batches of {batch} than for {len(X)} samples"
                    " together; export it for inference, with a dynamic batch axis"
                )
