"""Features of the Keras adapter alone: hostile files, shapes of samples."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_assets.errors import ExportError
from mlops_assets.models.frameworks import framework_named
from mlops_assets_tests.models.frameworks.models import from_models
from mlops_assets_tests.training.example_trainers import samples

pytestmark = pytest.mark.frameworks
TIMES = "mlops_assets_tests.models.frameworks.keras_models:Times"
LAMBDA = {
    "module": "keras.layers",
    "class_name": "Lambda",
    "registered_name": None,
    "config": {
        "name": "hostile",
        "function": {"class_name": "__lambda__", "config": {"code": "4w=="}},
    },
}
EVAL = {
    "module": "builtins",
    "class_name": "function",
    "config": "eval",
    "registered_name": "function",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a saved model with a layer of its own; only to be copied."""
    folder = tmp_path_factory.mktemp("saved")
    X, y = samples((6,))
    framework_named("keras").save(from_models("keras", "own_layer")(X, y), folder)
    return folder


def changed(
    saved: Path, folder: Path, change: Any = None, classes: dict[str, str] | None = None
) -> Path:
    """Copy a saved model to a new folder, and change what is in the file."""
    shutil.copytree(saved, folder)
    if classes is not None:
        (folder / "classes.json").write_text(json.dumps(classes))
    with zipfile.ZipFile(folder / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    if change is not None:
        change(config["config"]["layers"])
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return folder


def replaced(module: str, kind: str, registered: str | None = None) -> Any:
    """Give the second layer another class."""
    return lambda layers: layers[1].update(
        module=module, class_name=kind, registered_name=registered
    )


def test_a_file_that_was_packed_again_is_read(saved: Path, tmp_path: Path) -> None:
    framework_named("keras").load(changed(saved, tmp_path / "packed"))


HOSTILE: dict[str, tuple[Callable[[list[Any]], object], str]] = {
    "lambda": (lambda layers: layers.append(LAMBDA), "holds a Lambda"),
    "another module": (replaced("subprocess", "Popen"), "subprocess.Popen"),
    "another name": (replaced("keras.layers", "Times", "others>Times"), "not Keras's own"),
    "saved model": (replaced("keras.layers", "TFSMLayer"), "TFSMLayer"),
    "no layer": (replaced("keras.utils", "get_file"), "cannot be read"),
    "another width": (lambda layers: layers[2]["config"].update(units=7), "cannot be read"),
    "no text": (lambda layers: layers[1].update(class_name=["Dense"]), "must be a text"),
    "no activation": (
        lambda layers: layers[2]["config"].update(activation=EVAL | {"config": "get"}),
        "builtins.get",
    ),
    "a function": (lambda layers: layers[2]["config"].update(activation=EVAL), "builtins.eval"),
}


def test_hostile_files_are_refused(saved: Path, tmp_path: Path, subtests: pytest.Subtests) -> None:
    for name, (change, message) in HOSTILE.items():
        folder = changed(saved, tmp_path / name, change)
        with subtests.test(name), pytest.raises(ExportError, match=message):
            framework_named("keras").load(folder)


def hostile_weights(kind: str) -> bytes:
    """HDF5 that is small, and leads elsewhere or holds much."""
    import h5py

    written = io.BytesIO()
    with h5py.File(written, "w") as file:
        if kind == "much":
            file.create_dataset(
                "layers/zeros", shape=(1 << 31,), dtype="f4", chunks=(1 << 20,), compression="gzip"
            )
        elif kind == "another file's bytes":
            file.create_dataset(
                "layers/x", shape=(16,), dtype="u1", external=[("/etc/passwd", 0, 16)]
            )
        elif kind == "a link":
            file["layers"] = h5py.ExternalLink("/etc/passwd", "/")
        else:
            layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
            layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", shape=(4,))
            file.create_virtual_dataset("layers/x", layout)
    return written.getvalue()


@pytest.mark.parametrize(
    "kind", ["much", "another file's bytes", "a link", "a view of another file"]
)
def test_weights_hold_arrays_of_their_own_and_no_more_than_their_file_may(
    kind: str, saved: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    with (
        zipfile.ZipFile(saved / "model.keras") as archive,
        zipfile.ZipFile(folder / "model.keras", "w") as changed,
    ):
        for name in archive.namelist():
            content = archive.read(name)
            changed.writestr(name, hostile_weights(kind) if name.endswith(".h5") else content)
    with pytest.raises(ExportError, match=r"unpack to more|in another file|link to another place"):
        framework_named("keras").load(folder)


def test_classes_that_are_not_the_models_own_are_refused(
    saved: Path, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    cases: dict[str, tuple[dict[str, str], str]] = {
        "no layer": ({"tests>Times": "subprocess:Popen"}, "not a Keras layer"),
        "gone": ({"tests>Times": "mlops_assets_tests.gone:Times"}, "does not exist any more"),
        "another class": (
            {"tests>Times": TIMES.replace("Times", "Eigen")},
            "not stored under its own name",
        ),
        "none": ({}, "not Keras's own"),
    }
    for name, (classes, message) in cases.items():
        folder = changed(saved, tmp_path / name, classes=classes)
        with subtests.test(name), pytest.raises(ExportError, match=message):
            framework_named("keras").load(folder)


def test_a_layer_class_inside_of_a_function_is_refused(tmp_path: Path) -> None:
    import keras

    class Local(keras.Layer):
        def call(self, rows: Any) -> Any:
            return rows

    with pytest.raises(ExportError, match="defined inside a function"):
        framework_named("keras").save(keras.Sequential([keras.Input((6,)), Local()]), tmp_path)


def test_a_model_that_takes_bands_last_is_refused_with_a_remedy(tmp_path: Path) -> None:
    import keras

    model, adapter = (
        keras.Sequential([keras.Input((5, 5, 4)), keras.layers.Flatten()]),
        framework_named("keras"),
    )
    with pytest.raises(ExportError, match=r"bands first; begin with keras.layers.Permute"):
        adapter.predict(model, np.zeros((1, 4, 5, 5), dtype=np.float32), "classification")
    with pytest.raises(ExportError, match="bands first"):
        adapter.export(model, (4, 5, 5), "classification", tmp_path / "model.onnx")


def test_the_state_of_the_optimizer_is_left_out(tmp_path: Path) -> None:
    X, y = samples((6,))
    model, adapter = from_models("keras", "sequential")(X, y), framework_named("keras")
    adapter.save(model, tmp_path)
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert b"optimizer" not in archive.read("model.weights.h5")
