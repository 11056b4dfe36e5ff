"""A trained model in its framework's own form: written, and read back in another process."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.errors import ExportError, TrainerError
from mlops_assets.models.frameworks import Framework
from mlops_assets.models.frameworks.architectures import THIS_PROCESS, Trust
from mlops_assets.models.onnx.session import Outputs
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.paths import model_folder, model_owner
from mlops_assets.registry import ModelVersion
from mlops_assets.storage import FileStat, Workspace
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store


def save_native(
    workspace: Workspace, framework: Framework, model: object, data: TrainingData, folder: str
) -> list[FileStat]:
    """Write the native artefact, read it back, and check its predictions before publication.

    Args:
        workspace: the workspace to write to.
        framework: the adapter of the model.
        model: the trained model.
        data: the data that it was trained on; test samples are predicted.
        folder: key of the folder of the native artefact.

    Returns:
        The files of the artefact.

    Raises:
        TrainerError: the model's outputs do not have the shape of its task.
        ExportError: the model cannot be written safely, or reads back with other predictions.
    """
    with scratch_folder("native") as native:
        framework.save(model, native)
        X, _ = data.arrays("test", limit=64)
        before = framework.predict(model, X, data.task)
        after = framework.predict(framework.load(native), X, data.task)
        require_shape(before, len(X), len(data.class_names))
        for name, values in before.items():
            if not np.array_equal(values, after[name]):
                raise ExportError(
                    f"the model reads back with other predictions ({name}); constructor arguments"
                    " or buffers are missing from what it keeps"
                )
        return [workspace.put(f"{folder}/{path.name}", path) for path in sorted(native.iterdir())]


def require_shape(outputs: Outputs, samples: int, classes: int) -> None:
    """Check that outputs of a trained model have the shape of its task.

    Args:
        outputs: name → (n, …).
        samples: number of samples, n.
        classes: number of classes; 0 for regression.

    Raises:
        TrainerError: they have another; a model that was trained without samples of a class
            returns no score for it.
    """
    for name, values in outputs.items():
        expected = (samples, classes) if name == "scores" else (samples,)
        if values.shape[: len(expected)] != expected:
            remedy = ""
            if name == "scores":
                remedy = (
                    f", one score for each of the {classes} classes; make sure that the training"
                    " split has samples of all"
                )
            raise TrainerError(
                f"the model returns {name} of shape {values.shape} for {samples} samples; expected"
                f" is {expected}{remedy}"
            )


def load_native(
    files: Mapping[str, Path], framework: Framework, specification: ModelSpecification | None = None
) -> object:
    """Read a model back from its native files.

    Classes of users are trusted if the declaration names them, or if they are in the package of the
    trainer that it names; without a declaration, if this process has imported them.

    Args:
        files: native artefact, name → local path; a cached copy is named by its checksum.
        framework: its adapter.
        specification: the model as declared.

    Raises:
        ExportError: the files hold something that is not trusted.
    """
    with scratch_folder("native") as scratch:
        for name, path in files.items():
            shutil.copy(path, scratch / name)
        if specification is None:
            return framework.load(scratch, THIS_PROCESS)
        trust = Trust(specification.architectures, package=specification.trainer.partition(".")[0])
        return framework.load(scratch, trust)


def native_files(store: Store, row: ModelVersion) -> dict[str, FileStat]:
    """Return the native files of a model version by name."""
    prefix = f"{model_folder(row.model, row.version)}/native/"
    files = store.registry.files(model_owner(row.model, row.version))
    return {file.path.removeprefix(prefix): file for file in files if file.path.startswith(prefix)}
