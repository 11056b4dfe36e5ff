"""LightGBM: its text format natively, onnxmltools to ONNX.

Boosters of trees for classification and regression; whatever the converter does not express
correctly is refused here.
"""

from __future__ import annotations

import re
from pathlib import Path

import lightgbm
import numpy as np
from numpy.typing import NDArray
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from mlops_assets.errors import ExportError
from mlops_assets.models.frameworks import ModelDescription
from mlops_assets.models.frameworks.architectures import THIS_PROCESS, Trust
from mlops_assets.models.frameworks.checked_files import read_checked, write_checked
from mlops_assets.models.onnx.graph import OPSET, conform
from mlops_assets.models.onnx.session import Outputs

FILE = "model.txt"
CLASSIFIES = ("binary", "multiclass")
REGRESSES = ("regression", "regression_l1", "huber", "quantile", "poisson", "gamma", "tweedie")
# bits of a split's decision_type, LightGBM's include/LightGBM/tree.h
CATEGORICAL = 1
MISSING = 0b1100
ZERO = 0b0100


class LightGBM:
    """Adapter for LightGBM; models take rows, patches are flattened.

    NaN is a missing value, also in ONNX.

    A wrapper such as `LGBMClassifier` comes back as the `Booster` it holds, up to its best
    iteration.
    """

    name = "lightgbm"

    def save(self, model: object, folder: Path) -> None:
        """Write `model.txt`, and its checksum beside it.

        Args:
            model: the trained model.
            folder: an empty folder.

        Raises:
            ExportError: the model cannot be expressed in ONNX.
        """
        write_checked(folder / FILE, _text(model).encode())

    def load(self, folder: Path, trust: Trust = THIS_PROCESS) -> lightgbm.Booster:
        """Read `model.txt`.

        Args:
            folder: the folder that `save` has written.
            trust: not used; the file names no classes.

        Returns:
            The booster.

        Raises:
            ExportError: the file is damaged, or is not a model of LightGBM.
        """
        try:
            text = read_checked(folder / FILE).decode()
            return lightgbm.Booster(model_str=_checked(text))
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
            raise ExportError(f"{FILE} holds no model of LightGBM: {error}") from error

    def predict(self, model: object, X: NDArray[np.float32], task: str) -> Outputs:
        """Return `scores`, which are probabilities, or `value`.

        Args:
            model: the trained model.
            X: samples, float32, (n, features), (n, bands) or (n, bands, height, width).
            task: `classification`, `semantic-segmentation` or `regression`.

        Returns:
            `scores` (n, classes), or `value` (n,).

        Raises:
            ExportError: the model does not suit the task.
        """
        text = _text(model)
        _require_suits(text, task)
        found = np.asarray(lightgbm.Booster(model_str=text).predict(X.reshape(len(X), -1)))
        if task == "regression":
            return {"value": found.reshape(len(X))}
        return {"scores": np.stack([1 - found, found], axis=1) if found.ndim == 1 else found}

    def export(self, model: object, sample_shape: tuple[int, ...], task: str, path: Path) -> None:
        """Write ONNX with onnxmltools; the graph flattens patches itself.

        Args:
            model: the trained model.
            sample_shape: shape of one sample, without the batch axis.
            task: `classification`, `semantic-segmentation` or `regression`.
            path: the file to write.

        Raises:
            ExportError: the model does not suit the task, or cannot be expressed in ONNX.
        """
        text = _text(model)
        _require_suits(text, task)
        rounded = lightgbm.Booster(model_str=_in_float32(text))
        rows = FloatTensorType([None, int(np.prod(sample_shape))])
        try:
            exported = convert_lightgbm(
                rounded, "lightgbm", [("rows", rows)], target_opset=OPSET, zipmap=False
            )
        except (
            lightgbm.basic.LightGBMError,
            RuntimeError,
            ValueError,
            KeyError,
            TypeError,
        ) as error:
            raise ExportError(f"LightGBM model cannot be exported to ONNX: {error}") from error
        outputs = {"variable": "value"} if task == "regression" else {"probabilities": "scores"}
        path.write_bytes(conform(exported, sample_shape, outputs, flat=True).SerializeToString())

    def describe(self, model: object) -> ModelDescription:
        """Return the model's kind; trees have no common count of parameters.

        Args:
            model: the trained model.
        """
        return ModelDescription("LightGBM", None)


def _text(model: object) -> str:
    """Return a model in LightGBM's text format, up to its best iteration.

    Raises:
        ExportError: it cannot be expressed in ONNX.
    """
    if isinstance(model, lightgbm.LGBMModel):
        model = model.booster_
    if not isinstance(model, lightgbm.Booster):
        raise ExportError(
            f"{type(model).__name__} is not a model but a part of LightGBM; return the Booster"
        )
    return _checked(
        re.sub(r"^feature_names=.*$", _unnamed, model.model_to_string(), flags=re.MULTILINE)
    )


def _unnamed(names: re.Match[str]) -> str:
    """Columns of a table have names, those of an array have not.

    A model's names are in its signature.
    """
    return "feature_names=" + " ".join(
        f"Column_{number}" for number in range(len(names[0].split(" ")))
    )


def _checked(text: str) -> str:
    """Return the text if what is in it can be expressed in ONNX."""
    name, *arguments = _line(text, "objective").split(" ")
    if name not in CLASSIFIES + REGRESSES:
        raise ExportError(
            f"objective {name!r} of LightGBM cannot be exported to ONNX; take one of "
            f"{', '.join(CLASSIFIES + REGRESSES)}"
        )
    kinds = {
        int(kind)
        for line in re.findall(r"^decision_type=(.*)$", text, re.MULTILINE)
        for kind in line.split()
    }
    unexpressed = {
        "boosting 'rf'": re.search(r"^average_output$", text, re.MULTILINE),
        "linear_tree": re.search(r"^is_linear=1$", text, re.MULTILINE),
        "reg_sqrt": "sqrt" in arguments,
        "sigmoid other than 1": name == "binary" and arguments != ["sigmoid:1"],
        "a categorical feature": any(kind & CATEGORICAL for kind in kinds),
        "zero_as_missing": any(kind & MISSING == ZERO for kind in kinds),
    }
    for what, found in unexpressed.items():
        if found:
            raise ExportError(f"{what} of LightGBM cannot be exported to ONNX; train without")
    return text


def _require_suits(text: str, task: str) -> None:
    objective = _line(text, "objective")
    if (task == "regression") != (objective.split(" ")[0] in REGRESSES):
        raise ExportError(f"objective {objective!r} of LightGBM does not suit task {task!r}")


def _line(text: str, name: str) -> str:
    found = re.search(rf"^{name}=(.*)$", text, re.MULTILINE)
    return found[1] if found else "of one's own"


def _in_float32(text: str) -> str:
    """Round thresholds down to float32, which ONNX knows.

    For `x <= threshold` of a float32 x that changes nothing.
    """

    def rounded(line: re.Match[str]) -> str:
        exact = np.array(line[1].split(), dtype=np.float64)
        near = exact.astype(np.float32)
        near = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)
        return "threshold=" + " ".join(repr(float(value)) for value in near)

    text = re.sub(r"^threshold=(.+)$", rounded, text, flags=re.MULTILINE)
    # of the text as it was; it is read without, too
    return re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)
