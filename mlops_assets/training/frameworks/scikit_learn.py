"""scikit-learn estimators and pipelines: skops natively, skl2onnx to ONNX."""

from __future__ import annotations

import importlib
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.utils
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.pipeline import Pipeline

from mlops_assets.errors import ExportError
from mlops_assets.training.onnx_graph import conform


@contextmanager
def _nothing_searched() -> Iterator[None]:
    """Keep skops from importing every module of scikit-learn, its tests and PyTorch, which takes seconds.

    It does so to list the estimators that it trusts by itself; here `_is_trusted` decides about each type of a file.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]
    search = sklearn.utils.all_estimators
    sklearn.utils.all_estimators = list
    try:
        yield
    finally:
        sklearn.utils.all_estimators = search
        if hidden:
            del sys.modules["torch"]


with _nothing_searched():
    import skops.io

FILE = "model.skops"
# what skops may rebuild, besides the few types that it trusts by itself, must come from these packages
TRUSTED = ("sklearn.", "numpy.", "scipy.")


class ScikitLearn:
    """Adapter for scikit-learn; models take rows, patches are flattened."""

    name = "scikit-learn"

    def save(self, model: Any, folder: Path) -> None:
        """Write `model.skops`; refuses types from outside scikit-learn, NumPy and SciPy."""
        skops.io.dump(model, folder / FILE)
        self._trusted(folder / FILE)
        _write_reproducibly(folder / FILE)

    def load(self, folder: Path) -> Any:
        """Read `model.skops`."""
        try:
            return skops.io.load(folder / FILE, trusted=self._trusted(folder / FILE))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ExportError(f"{FILE} holds no scikit-learn model: {error}") from error

    def predict(self, model: Any, X: NDArray[np.float32], task: str) -> dict[str, NDArray[Any]]:
        """Return `label`, and `scores` where the estimator knows probabilities; or `value`."""
        rows = X.reshape(len(X), -1)
        if task == "regression":
            return {"value": np.asarray(model.predict(rows), dtype=np.float64).reshape(len(X))}
        outputs = {"label": np.asarray(model.predict(rows), dtype=np.int64)}
        if hasattr(model, "predict_proba"):
            outputs["scores"] = np.asarray(model.predict_proba(rows))
        return outputs

    def export(self, model: Any, sample_shape: tuple[int, ...], task: str, path: Path) -> None:
        """Write ONNX with skl2onnx; the graph flattens patches itself."""
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType
        from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

        if (task == "regression") != is_regressor(model):
            raise ExportError(f"{_final(model)} does not suit task {task!r}; choose another estimator")
        width = int(np.prod(sample_shape))
        options = {} if task == "regression" else {id(model): {"zipmap": False}}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the converter reads attributes that scikit-learn is retiring
                exported = to_onnx(model, initial_types=[("rows", FloatTensorType([None, width]))], options=options)
        except (MissingConverter, MissingShapeCalculator, NotImplementedError, RuntimeError, TypeError) as error:
            raise ExportError(f"{_final(model)} cannot be exported to ONNX: {str(error).splitlines()[0]}") from error
        names = ["value"] if task == "regression" else ["label", "scores"]
        if task != "regression" and not hasattr(model, "predict_proba"):
            names = ["label"]  # decision values are no scores of classes
        found = [output.name for output in exported.graph.output]
        conform(exported, sample_shape, dict(zip(found, names, strict=False)), flat=True)
        path.write_bytes(exported.SerializeToString())

    def describe(self, model: Any) -> dict[str, Any]:
        """Return the final estimator's name; scikit-learn has no common count of parameters."""
        return {"architecture": _final(model), "parameters": None}

    def _trusted(self, file: Path) -> list[str]:
        types: list[str] = skops.io.get_untrusted_types(file=file)
        foreign = [name for name in types if not _is_trusted(name)]
        if foreign:
            raise ExportError(
                f"the model holds {', '.join(foreign)}, which cannot be stored safely; use scikit-learn's own, "
                "or return a model of another framework alone"
            )
        return types


def _is_trusted(name: str) -> bool:
    """Say whether a type name of a skops file is a class that one of the trusted packages itself defines."""
    if not name.startswith(TRUSTED):
        return False
    module, _, qualified = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), qualified)
    except (ImportError, AttributeError):
        return False
    return isinstance(found, type) and f"{found.__module__}.".startswith(TRUSTED)


def _write_reproducibly(file: Path) -> None:
    """Rewrite a skops archive without what differs between equal models: object ids and times of writing."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = members.pop("schema.json").decode()
    numbers: dict[str, str] = {}

    def renumber(match: re.Match[str]) -> str:
        return match.group(1) + numbers.setdefault(match.group(2), str(len(numbers)))

    schema = re.sub(r'("__id__": |"file": ")(\d+)', renumber, schema)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(members.items(), key=lambda member: int(numbers[member[0].split(".")[0]])):
            stem, dot, suffix = name.partition(".")
            archive.writestr(zipfile.ZipInfo(f"{numbers[stem]}{dot}{suffix}"), content, zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo("schema.json"), schema, zipfile.ZIP_DEFLATED)


def _final(model: Any) -> str:
    estimator = model.steps[-1][1] if isinstance(model, Pipeline) else model
    return type(estimator).__name__
