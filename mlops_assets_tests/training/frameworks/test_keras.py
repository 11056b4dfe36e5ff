"""What only the Keras adapter has: hostile files, shapes of samples."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_assets.errors import ExportError
from mlops_assets.training.frameworks import framework_named
from mlops_assets_tests.training.frameworks.models import from_models
from mlops_assets_tests.training.trainers import samples

TIMES = "mlops_assets_tests.training.frameworks.keras_models:Times"
LAMBDA = {
    "module": "keras.layers",
    "class_name": "Lambda",
    "registered_name": None,
    "config": {"name": "hostile", "function": {"class_name": "__lambda__", "config": {"code": "4w=="}}},
}


def changed(folder: Path, change: Any = None, classes: dict[str, str] | None = None) -> None:
    """Save a model, and change what is in the file."""
    X, y = samples((6,))
    framework_named("keras").save(from_models("keras", "own_layer")(X, y), folder)
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


def replaced(module: str, kind: str, registered: str | None = None) -> Any:
    """Give the second layer another class."""
    return lambda layers: layers[1].update(module=module, class_name=kind, registered_name=registered)


def test_a_file_that_was_packed_again_is_read(tmp_path: Path) -> None:
    changed(tmp_path)
    framework_named("keras").load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda layers: layers.append(LAMBDA), "holds a Lambda"),
        (replaced("subprocess", "Popen"), "subprocess.Popen"),
        (replaced("keras.layers", "Times", "others>Times"), "not Keras's own"),
        (replaced("keras.layers", "TFSMLayer"), "TFSMLayer"),
        (replaced("keras.utils", "get_file"), "cannot be read"),
        (lambda layers: layers[2]["config"].update(units=7), "cannot be read"),
        (lambda layers: layers[2]["config"].update(
            activation={"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"}
        ), "builtins.eval"),
    ],
    ids=["lambda", "another module", "another name", "saved model", "no layer", "another width", "a function"],
)  # fmt: skip
def test_hostile_files_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    changed(tmp_path, change)
    with pytest.raises(ExportError, match=message):
        framework_named("keras").load(tmp_path)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"tests>Times": "subprocess:Popen"}, "no Keras layer"),
        ({"tests>Times": "mlops_assets_tests.gone:Times"}, "not there any more"),
        ({"tests>Times": TIMES.replace("Times", "Eigen")}, "not stored under its own name"),
        ({}, "not Keras's own"),
    ],
    ids=["no layer", "gone", "another class", "none"],
)
def test_classes_that_are_not_the_models_own_are_refused(classes: dict[str, str], message: str, tmp_path: Path) -> None:
    changed(tmp_path, classes=classes)
    with pytest.raises(ExportError, match=message):
        framework_named("keras").load(tmp_path)


def test_a_layer_class_inside_of_a_function_is_refused(tmp_path: Path) -> None:
    import keras

    class Local(keras.Layer):
        def call(self, rows: Any) -> Any:
            return rows

    with pytest.raises(ExportError, match="defined inside a function"):
        framework_named("keras").save(keras.Sequential([keras.Input((6,)), Local()]), tmp_path)


def test_a_model_that_takes_bands_last_is_told_how_to_begin(tmp_path: Path) -> None:
    import keras

    model, adapter = keras.Sequential([keras.Input((5, 5, 4)), keras.layers.Flatten()]), framework_named("keras")
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
