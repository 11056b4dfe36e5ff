"""Keras: `.keras` files in safe mode natively, Keras's own export (by tf2onnx) to ONNX.

Samples come bands first, as everywhere on the platform; a model that wants them last begins with a
`Permute` layer.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import ExportError
from mlops_assets.extras import needs
from mlops_assets.models.frameworks import ModelDescription
from mlops_assets.models.frameworks.architectures import THIS_PROCESS, Trust, trusted_class
from mlops_assets.models.frameworks.archives import allowed_bytes, require_bounded
from mlops_assets.models.onnx.graph import conform
from mlops_assets.models.onnx.session import Outputs, at_once
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.text.json_values import Json, JsonObject

FILE = "model.keras"
CLASSES = "classes.json"
MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
OPSET = 18  # the newest that tf2onnx writes
# Keras's own, but they run Python code or read files that the model does not hold
REFUSED = {
    "Lambda",
    "__lambda__",
    "__typespec__",
    "TFSMLayer",
    "TorchModuleWrapper",
    "JaxLayer",
    "FlaxLayer",
    "StringLookup",
    "IntegerLookup",
    "IndexLookup",
    "TextVectorization",
}
NO_ACTIVATIONS = ("deserialize", "get", "serialize")  # what `keras.activations` has besides
PARTS = (
    keras.Operation,
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    keras.dtype_policies.DTypePolicy,
    keras.random.SeedGenerator,
)


class Keras:
    """Adapter for Keras on TensorFlow.

    Layers and models of one's own are stored by the name of their class, which must be importable
    and have `get_config`; of everything else only what is Keras's own is trusted.
    """

    name = "keras"

    def save(self, model: object, folder: Path) -> None:
        """Write `model.keras`, without optimizer, and `classes.json`.

        Args:
            model: the trained model.
            folder: an empty folder.

        Raises:
            ExportError: the model is not a keras.Model, or has a layer that is not safe to store.
        """
        network = _network(model)
        # registered name → class, of those that are not Keras's
        own: dict[str, str] = {}
        for layer in [network, *network._flatten_layers()]:
            kind = type(layer)
            if kind.__module__.split(".")[0] != "keras":
                own[keras.saving.get_registered_name(kind)] = (
                    f"{kind.__module__}:{kind.__qualname__}"
                )
        for name, target in own.items():
            _own_class(name, target, THIS_PROCESS)
        with scratch_folder("keras") as scratch, _quietly():
            written = scratch / FILE
            try:
                network.save(written)
            except (TypeError, ValueError, NotImplementedError) as error:
                raise ExportError(
                    f"{type(network).__name__} cannot be stored: {_first_line(error)}"
                ) from error
            members = _members(written)
        config = json.loads(members["config.json"])
        config.pop("compile_config", None)
        _require_trusted(config, own)
        (folder / CLASSES).write_text(json.dumps(own, indent=2, sort_keys=True) + "\n")
        _write_reproducibly(folder / FILE, config, members["model.weights.h5"])

    def load(self, folder: Path, trust: Trust = THIS_PROCESS) -> keras.Model:
        """Read `model.keras` in safe mode.

        Args:
            folder: the folder that `save` has written.
            trust: the classes that the files may name besides the framework's own.

        Returns:
            The model, not compiled.

        Raises:
            ExportError: the files are damaged, name a class that is not trusted, or do not fit it.
        """
        try:
            own = json.loads((folder / CLASSES).read_text())
            require_bounded(folder / FILE, MEMBERS)
            members = _members(folder / FILE)
            config = json.loads(members["config.json"])
            _require_plain_weights(
                members["model.weights.h5"], allowed_bytes((folder / FILE).stat().st_size)
            )
        except (
            OSError,
            KeyError,
            ValueError,
            RuntimeError,
            RecursionError,
            zipfile.BadZipFile,
        ) as error:
            raise ExportError(f"the folder holds no Keras model: {error}") from error
        if not isinstance(own, dict):
            raise ExportError(f"{CLASSES} must map names to classes; fetch the model version again")
        _require_trusted(config, own)
        classes = {
            str(name): _own_class(str(name), str(target), trust) for name, target in own.items()
        }
        try:
            with _quietly():
                model = keras.saving.load_model(
                    folder / FILE, classes, compile=False, safe_mode=True
                )
        except (TypeError, ValueError, KeyError, AttributeError, OSError, RuntimeError) as error:
            raise ExportError(f"{FILE} cannot be read: {_first_line(error)}") from error
        if not isinstance(model, keras.Model):
            raise ExportError(f"{FILE} holds a {type(model).__name__}, not a model")
        return model

    def predict(self, model: object, X: NDArray[np.float32], task: str) -> Outputs:
        """Return `scores` or `value`.

        Args:
            model: the trained model.
            X: samples, float32, (n, features), (n, bands) or (n, bands, height, width).
            task: `classification`, `semantic-segmentation` or `regression`.

        Returns:
            `scores` (n, classes) or (n, classes, height, width), or `value` (n,).

        Raises:
            ExportError: the model is not a keras.Model, or takes other samples.
        """
        network = _network(model)
        _require_takes(network, X.shape[1:])
        with _quietly():
            size = at_once(X)
            outputs = [
                np.asarray(network(X[i : i + size], training=False)) for i in range(0, len(X), size)
            ]
        found = np.concatenate(outputs)
        return {"value": found.reshape(len(X))} if task == "regression" else {"scores": found}

    def export(self, model: object, sample_shape: tuple[int, ...], task: str, path: Path) -> None:
        """Write ONNX with a dynamic batch axis.

        Args:
            model: the trained model.
            sample_shape: shape of one sample, without the batch axis.
            task: `classification`, `semantic-segmentation` or `regression`.
            path: the file to write.

        Raises:
            ExportError: the model has an operation that ONNX cannot express.
        """
        import onnx

        if keras.backend.backend() != "tensorflow":
            raise ExportError(
                f"Keras runs on {keras.backend.backend()}; ONNX needs KERAS_BACKEND=tensorflow"
            )
        with needs("tensorflow", "export of a Keras model"):
            import tf2onnx  # noqa: F401 - Keras's export imports it
        network = _network(model)
        _require_takes(network, sample_shape)
        for layer in network._flatten_layers():
            # the exporter takes its tensors for inputs
            if isinstance(layer, keras.layers.Normalization):
                layer.mean = np.asarray(layer.mean)
                layer.variance = np.asarray(layer.variance)
        signature = [keras.InputSpec(shape=(None, *sample_shape), dtype="float32", name="input")]
        try:
            with _quietly():
                network(np.zeros((1, *sample_shape), dtype=np.float32), training=False)
                network.export(
                    path,
                    format="onnx",
                    verbose=False,
                    input_signature=signature,
                    opset_version=OPSET,
                )
        except (TypeError, ValueError, NotImplementedError, RuntimeError, AttributeError) as error:
            raise ExportError(
                f"{type(network).__name__} cannot be exported to ONNX: {_first_line(error)}"
            ) from error
        exported = onnx.load(path)
        (output,) = (output.name for output in exported.graph.output)
        conform(exported, sample_shape, {output: "value" if task == "regression" else "scores"})
        path.write_bytes(exported.SerializeToString())

    def describe(self, model: object) -> ModelDescription:
        """Return the name of the model's class and its number of weights.

        Args:
            model: the trained model.
        """
        network = _network(model)
        return ModelDescription(type(network).__name__, network.count_params())


def _network(model: object) -> keras.Model:
    if not isinstance(model, keras.Model):
        raise ExportError(f"{type(model).__name__} is not a keras.Model; return the trained model")
    return model


def _require_takes(model: keras.Model, sample_shape: tuple[int, ...]) -> None:
    try:
        shape = model.input_shape
    except (AttributeError, ValueError):  # a model of a user's own class declares no input
        return
    if isinstance(shape, tuple) and any(
        size not in (None, given) for size, given in zip(shape[1:], sample_shape, strict=False)
    ):
        raise ExportError(
            f"the model takes samples of {shape[1:]}, the platform gives {tuple(sample_shape)},"
            " bands first; begin with keras.layers.Permute((2, 3, 1)) if it wants bands last"
        )


def _require_trusted(config: object, own: Mapping[str, object]) -> None:
    """Check that a model's configuration names only Keras's own parts and the classes in `own`.

    Raises:
        ExportError: it names something else, or a part of Keras that is not safe.
    """
    if isinstance(config, list):
        for entry in config:
            _require_trusted(entry, own)
    if not isinstance(config, dict):
        return
    kind, module, registered = (
        config.get(key) for key in ("class_name", "module", "registered_name")
    )
    if not all(isinstance(name, str | None) for name in (kind, registered)):
        raise ExportError(f"{FILE} cannot be read: a class's name must be a text")
    if kind in REFUSED or registered in REFUSED:
        raise ExportError(
            f"the model holds a {kind}, which cannot be stored safely; write a layer class"
        )
    if "module" in config and kind is not None and (registered or kind) not in own:
        if kind == "function":
            kind = config.get("config")
            known = hasattr(keras.activations, str(kind)) and kind not in NO_ACTIVATIONS
        else:
            known = str(module).split(".")[0] == "keras" and registered in (None, kind)
        if not known:
            raise ExportError(
                f"the model holds {module}.{kind}, which is not Keras's own; write a layer class"
            )
        if config.get("class_name") != "function" and not _is_part(module, kind):
            raise ExportError(f"{FILE} cannot be read: {module}.{kind} is not a part of models")
    for value in config.values():
        _require_trusted(value, own)


def _is_part(module: object, kind: object) -> bool:
    """Return whether a name in Keras is that of a class that models are made of.

    Nothing is imported for it.
    """
    found = getattr(sys.modules.get(str(module)), str(kind), None)
    return isinstance(found, type) and issubclass(found, PARTS)


def _own_class(name: str, target: str, trust: Trust) -> type:
    """Return a layer's or model's class by its name."""
    if "<" in target:
        raise ExportError(f"{target} is defined inside a function; move the class to module level")
    found: type = trusted_class(target, trust, (), keras.Layer, "Keras layer")
    if name != keras.saving.get_registered_name(found):
        raise ExportError(
            f"{target} is not stored under its own name but as {name!r}; the model is not trusted"
        )
    return found


def _members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _require_plain_weights(content: bytes, allowed: int) -> None:
    """Check that HDF5 holds only its own arrays, no links to other files, in `allowed` bytes.

    Raises:
        ExportError: it does not.
    """
    held = 0
    waiting = []
    met = set()
    with h5py.File(io.BytesIO(content)) as file:
        waiting.append(file["/"])
        while waiting:
            group = waiting.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ExportError(
                        f"{FILE} holds a link to another place, {name!r}; fetch the model version"
                        " again"
                    )
                part = group[name]
                if part.id in met:
                    continue
                met.add(part.id)
                if isinstance(part, h5py.Group):
                    waiting.append(part)
                elif isinstance(part, h5py.Dataset):
                    if part.external or part.is_virtual:
                        raise ExportError(
                            f"{FILE} has weights in another file, {name!r}; fetch the version again"
                        )
                    held += part.nbytes
                    if held > allowed:
                        raise ExportError(
                            f"{FILE} would unpack to more than {allowed:,} bytes, which are not"
                            " read"
                        )


def _write_reproducibly(file: Path, config: Json, weights: bytes) -> None:
    """Write a `.keras` archive without what differs between equal models.

    It leaves out times, object ids and the state of the optimizer.
    """
    numbers: dict[Json, int] = {}

    def renumber(part: Json) -> Json:
        if isinstance(part, list):
            return [renumber(value) for value in part]
        if not isinstance(part, dict):
            return part
        renumbered: JsonObject = {}
        for key, value in part.items():
            if key == "shared_object_id":
                renumbered[key] = numbers.setdefault(value, len(numbers) + 1)
            else:
                renumbered[key] = renumber(value)
        return renumbered

    kept = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as written, h5py.File(kept, "w") as copy:
        for name in sorted(set(written) - {"optimizer"}):
            written.copy(name, copy)
    metadata = {"keras_version": keras.__version__, "date_saved": ""}
    members = {
        "metadata.json": json.dumps(metadata).encode(),
        "config.json": json.dumps(renumber(config)).encode(),
        "model.weights.h5": kept.getvalue(),
    }
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Suppress messages of Keras and tf2onnx about their own internals."""
    loggers = {name: logging.getLogger(name).level for name in ("tf2onnx", "absl", "tensorflow")}
    try:
        for name in loggers:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in loggers.items():
            logging.getLogger(name).setLevel(level)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [repr(error)])[0]
