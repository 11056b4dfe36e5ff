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
from typing import TYPE_CHECKING

import numpy as np
import sklearn.utils
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_regressor
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from mlops_assets.errors import ExportError
from mlops_assets.models.frameworks import ModelDescription
from mlops_assets.models.frameworks.architectures import THIS_PROCESS, Trust
from mlops_assets.models.frameworks.archives import require_bounded
from mlops_assets.models.onnx.graph import TARGET_ML_OPSET, TARGET_OPSET, conform
from mlops_assets.models.onnx.session import Outputs

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Operator, Scope


@contextmanager
def _nothing_searched() -> Iterator[None]:
    """Keep skops from importing all of scikit-learn, its tests and PyTorch, which takes seconds.

    It does so to list the estimators that it trusts by itself; here `_is_trusted` decides about
    each type of a file.
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
# Packages whose classes skops may rebuild, besides the few types that it trusts by itself. The
# rest of SciPy and NumPy is not part of estimators, and has classes that run text of their state,
# or delete folders that it names.
TRUSTED = (
    "sklearn.",
    "numpy.dtype",
    "numpy.random.",
    "scipy._lib.array_api_compat.",
    "scipy.interpolate.",
    "scipy.sparse.",
    "scipy.spatial.",
)
# packages of functions that estimators take as score, distance or transformation
TRUSTED_FUNCTIONS = ("scipy.linalg.", "scipy.special.", "scipy.stats.")
TRUSTED_NUMPY = ("numpy", "numpy.fft", "numpy.linalg")
# modules that are never imported
NOT_MODELS = frozenset(
    ("__main__", "conftest", "distutils", "f2py", "testing", "tests", "_testing")
)
# parts of those packages that read or write files, or run programs
_ACTING = (
    "sklearn.datasets.",
    "sklearn.externals.",
    "sklearn.tree._export.",
    "sklearn.utils._testing.",
    "scipy.sparse._matrix_io.",
    "numpy.fromfile",
    "numpy.fromregex",
    "numpy.genfromtxt",
    "numpy.load",
    "numpy.save",
)


class ScikitLearn:
    """Adapter for scikit-learn; models take rows, patches are flattened."""

    name = "scikit-learn"

    def save(self, model: object, folder: Path) -> None:
        """Write `model.skops`, which holds only types of scikit-learn, NumPy and SciPy.

        Args:
            model: the trained model.
            folder: an empty folder.

        Raises:
            ExportError: the model has parts of other types.
        """
        skops.io.dump(model, folder / FILE)
        self._trusted(folder / FILE)
        _write_reproducibly(folder / FILE)

    def load(self, folder: Path, trust: Trust = THIS_PROCESS) -> object:
        """Read `model.skops`.

        Args:
            folder: the folder that `save` has written.
            trust: not used; the file may name classes of scikit-learn, NumPy and SciPy only.

        Returns:
            The estimator or pipeline.

        Raises:
            ExportError: the file is damaged, or holds types that are not trusted.
        """
        try:
            require_bounded(folder / FILE)
            return skops.io.load(folder / FILE, trusted=self._trusted(folder / FILE))
        except (
            OSError,
            AttributeError,
            KeyError,
            RecursionError,
            TypeError,
            ValueError,
            zipfile.BadZipFile,
        ) as error:
            raise ExportError(f"{FILE} holds no scikit-learn model: {error}") from error

    def predict(self, model: object, X: NDArray[np.float32], task: str) -> Outputs:
        """Return `label`, and `scores` where the estimator has probabilities; or `value`.

        Args:
            model: the trained model.
            X: samples, float32, (n, features), (n, bands) or (n, bands, height, width).
            task: `classification`, `semantic-segmentation` or `regression`.

        Returns:
            `label` (n,) and `scores` (n, classes), or `value` (n,).

        Raises:
            ExportError: the model is not an estimator.
        """
        estimator = _estimator(model)
        rows = X.reshape(len(X), -1)
        if task == "regression":
            return {"value": np.asarray(estimator.predict(rows), dtype=np.float64).reshape(len(X))}
        outputs: Outputs = {"label": np.asarray(estimator.predict(rows), dtype=np.int64)}
        if hasattr(estimator, "predict_proba"):
            outputs["scores"] = np.asarray(estimator.predict_proba(rows))
        return outputs

    def export(self, model: object, sample_shape: tuple[int, ...], task: str, path: Path) -> None:
        """Write ONNX with skl2onnx; the graph flattens patches itself.

        Args:
            model: the trained model.
            sample_shape: shape of one sample, without the batch axis.
            task: `classification`, `semantic-segmentation` or `regression`.
            path: the file to write.

        Raises:
            ExportError: the estimator does not suit the task, or skl2onnx cannot convert it.
        """
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType

        estimator = _estimator(model)
        if (task == "regression") != is_regressor(estimator):
            raise ExportError(
                f"{_final(model)} does not suit task {task!r}; choose another estimator"
            )
        width = int(np.prod(sample_shape))
        names = ["value"] if task == "regression" else ["label", "scores"]
        if task != "regression" and not hasattr(estimator, "predict_proba"):
            names = ["label"]  # decision values are no scores of classes
        _convert_discriminants()
        try:
            with warnings.catch_warnings():
                # the converter reads attributes that scikit-learn is retiring
                warnings.simplefilter("ignore")
                exported = to_onnx(
                    estimator,
                    initial_types=[("rows", FloatTensorType([None, width]))],
                    options=_options(estimator),
                    target_opset={"": TARGET_OPSET, "ai.onnx.ml": TARGET_ML_OPSET},
                )
        # converters raise errors of any kind
        except Exception as error:
            raise ExportError(
                f"{_final(model)} cannot be exported to ONNX: {_reason(error)}"
            ) from error
        found = [output.name for output in exported.graph.output]
        conform(exported, sample_shape, dict(zip(found, names, strict=False)), flat=True)
        path.write_bytes(exported.SerializeToString())

    def describe(self, model: object) -> ModelDescription:
        """Return the final estimator's name; scikit-learn has no common count of parameters.

        Args:
            model: the trained model.
        """
        return ModelDescription(_final(model), None)

    def _trusted(self, file: Path) -> list[str]:
        types: list[str] = skops.io.get_untrusted_types(file=file)
        foreign = [name for name in types if not _is_trusted(name)]
        if foreign:
            raise ExportError(
                f"the model holds {', '.join(foreign)}, which cannot be stored safely; use"
                " scikit-learn's own, or return a model of another framework alone"
            )
        return types


def _estimator(model: object) -> BaseEstimator:
    if not isinstance(model, BaseEstimator):
        raise ExportError(
            f"{type(model).__name__} is not an estimator of scikit-learn; return the fitted one"
        )
    return model


def _is_trusted(name: str) -> bool:
    """Return whether a name in a skops file is a class or function that estimators may be made of.

    The module that defines an object decides, not one that only imports it: the same object must be
    found under the name of its definition.
    """
    # the function that it calls has a name of its own in the file
    if name == "functools.partial":
        return True
    found = _named(name)
    home = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', None)}"
    if found is None or _named(home) is not found or home.startswith(_ACTING):
        return False
    if isinstance(found, type):
        return home.startswith(TRUSTED) or issubclass(found, np.generic)
    return home.startswith(TRUSTED + TRUSTED_FUNCTIONS) or found.__module__ in TRUSTED_NUMPY


def _named(name: str) -> object:
    """Return the class or function of the three packages with this full name, or None."""
    module, _, qualified = name.rpartition(".")
    parts = module.split(".")
    if parts[0] not in ("sklearn", "numpy", "scipy") or not NOT_MODELS.isdisjoint(parts):
        return None
    try:
        found = getattr(importlib.import_module(module), qualified)
    except (ImportError, AttributeError):
        return None
    return found if callable(found) else None


def _options(estimator: BaseEstimator) -> dict[object, dict[str, bool | str]]:
    """Return the conversion options of skl2onnx, by class or id of each part of a pipeline.

    Scores are an array, where a class has that option, and divisions are kept as such: by default
    skl2onnx multiplies by 1 / scale, whose last bit decides at the thresholds of trees.
    """
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common._registration import get_converter

    chain = [estimator]
    while isinstance(chain[-1], Pipeline) or hasattr(chain[-1], "best_estimator_"):
        chain.append(
            chain[-1].steps[-1][1] if isinstance(chain[-1], Pipeline) else chain[-1].best_estimator_
        )
    name = sklearn_operator_name_map.get(type(chain[-1]))
    known = get_converter(name).get_allowed_options() if name else None
    option: dict[str, bool | str] = {"zipmap": False} if "zipmap" in (known or {}) else {}
    return {StandardScaler: {"div": "div"}, **{id(part): option for part in chain}}


def _convert_discriminants() -> None:
    """Let skl2onnx convert a discriminant analysis as a logistic regression of equal coefficients.

    Of two classes, its own converter takes the softmax of -d and d, which is the logistic function
    of 2d instead of d (https://github.com/onnx/sklearn-onnx/issues/1116).
    """
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
    from skl2onnx.operator_converters.linear_classifier import convert_sklearn_linear_classifier

    def convert(scope: Scope, operator: Operator, container: ModelComponentContainer) -> None:
        analysis = operator.raw_operator
        line = LogisticRegression()
        line.coef_ = analysis.coef_
        line.intercept_ = analysis.intercept_
        line.classes_ = analysis.classes_
        operator.raw_operator = line
        convert_sklearn_linear_classifier(scope, operator, container)

    update_registered_converter(
        LinearDiscriminantAnalysis,
        "SklearnLinearDiscriminantAnalysis",
        calculate_linear_classifier_output_shapes,
        convert,
        overwrite=True,
        options={
            "zipmap": [True, False],
            "nocl": [True, False],
            "output_class_labels": [False, True],
        },
    )


def _reason(error: Exception) -> str:
    lacking = re.search(
        r"Unable to find a (?:shape calculator|converter) for type '<class '([^']+)'>'", str(error)
    )
    if lacking:
        return f"skl2onnx has no converter for {lacking[1]}; choose another estimator"
    return str(error).strip().partition("\n")[0]


def _write_reproducibly(file: Path) -> None:
    """Rewrite a skops archive without what differs between equal models.

    It leaves out object ids and times of writing.
    """
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = members.pop("schema.json").decode()
    numbers: dict[str, str] = {}

    def renumber(match: re.Match[str]) -> str:
        return match.group(1) + numbers.setdefault(match.group(2), str(len(numbers)))

    schema = re.sub(r'("__id__": |"file": ")(\d+)', renumber, schema)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(
            members.items(), key=lambda member: int(numbers[member[0].split(".")[0]])
        ):
            stem, dot, suffix = name.partition(".")
            archive.writestr(
                zipfile.ZipInfo(f"{numbers[stem]}{dot}{suffix}"), content, zipfile.ZIP_DEFLATED
            )
        archive.writestr(zipfile.ZipInfo("schema.json"), schema, zipfile.ZIP_DEFLATED)


def _final(model: object) -> str:
    estimator = model.steps[-1][1] if isinstance(model, Pipeline) else model
    return type(estimator).__name__
