"""The outputs of a map beside its classes: probabilities, confidence, margin and entropy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlops_assets.choices import MAP_OUTPUTS, MapOutput
from mlops_assets.errors import SpecificationError
from mlops_assets.models.evaluation.calibration import Scores
from mlops_assets.prediction.maps.geotiff import MapClass


def parse_outputs(text: str) -> tuple[MapOutput, ...]:
    """Return the outputs in a comma-separated list, in the order of `MAP_OUTPUTS`.

    Raises:
        SpecificationError: one is unknown.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in MAP_OUTPUTS]
    if unknown or not names:
        raise SpecificationError(
            f"{', '.join(unknown) or 'nothing'} is not an output; choose from"
            f" {', '.join(MAP_OUTPUTS)}"
        )
    return tuple(name for name in MAP_OUTPUTS if name in names)


def number_bands(outputs: Sequence[MapOutput], classes: Sequence[MapClass]) -> list[str]:
    """Return the descriptions of the bands of numbers for some outputs."""
    bands: list[str] = []
    for output in outputs:
        if output == "probabilities":
            bands += [f"probability of {entry.name}" for entry in classes]
        elif output != "class":
            bands.append(output)
    return bands


def measure(
    scores: NDArray[np.float32], kind: Scores, outputs: Sequence[MapOutput]
) -> NDArray[np.float32]:
    """Return the bands of `number_bands`.

    The margin is the difference of the two largest probabilities. The entropy is
    Shannon's, divided by its maximum, the logarithm of the number of classes: 0 where the model is
    sure, 1 where all classes are as likely.

    Args:
        scores: of each class and pixel, (classes, height, width).
        kind: what they are.
        outputs: which to return.

    Returns:
        Shape (bands, height, width).
    """
    probabilities = scores if kind == "probabilities" else _softmax(scores)
    found: list[NDArray[np.float32]] = []
    for output in outputs:
        if output == "probabilities":
            found += list(probabilities)
        elif output == "confidence":
            found.append(probabilities.max(axis=0))
        elif output == "margin":
            largest = np.partition(probabilities, -2, axis=0)[-2:]
            found.append(largest[1] - largest[0])
        elif output == "entropy":
            logarithms = np.log(np.clip(probabilities, np.finfo(np.float32).tiny, None))
            entropy = -(probabilities * logarithms).sum(axis=0) / np.log(len(probabilities))
            found.append(entropy)
    return np.stack(found).astype(np.float32, copy=False)


def confidence(scores: NDArray[np.float32], kind: Scores) -> NDArray[np.float32]:
    """Return the largest probability.

    Args:
        scores: of each class and pixel, (classes, pixels).
        kind: what they are.
    """
    largest = scores.max(axis=0)
    if kind == "probabilities":
        return np.asarray(largest)
    return np.asarray(1 / np.exp(scores - largest).sum(axis=0))


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    found = np.exp(scores - scores.max(axis=0))
    found /= found.sum(axis=0)
    return np.asarray(found)
