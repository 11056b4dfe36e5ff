"""The interface of a function that makes data of data, and its import by name.

`(inputs, output, params, run)`: it reads the inputs, and writes files below the folder `output`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.errors import ProcessingError
from mlops_assets.training.functions import FunctionKind, UserFunction, load_function

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.datasets.loading.scaling import DeclaredScaling
    from mlops_assets.datasets.loading.training_data import TrainingData
    from mlops_assets.datasets.readers import View
    from mlops_assets.datasets.versions.committed_dataset import CommittedDataset

# characters of a note, which documents, pages and the terminal show
MAX_NOTE = 1000
FUNCTION = FunctionKind("function", ("inputs", "output", "params", "run"), ProcessingError)


def load_processing(name: str) -> UserFunction:
    """Import a function that makes data of data.

    Args:
        name: `package.module:function`; the function is declared as `(inputs, output, params,
            run)`, with a pydantic model as the type of `params`.

    Returns:
        The function, which has not been called.

    Raises:
        ProcessingError: the module or function is missing, or its `params` argument has no typed
            model.
    """
    return load_function(FUNCTION, name)


@dataclass(frozen=True)
class ProcessingInput:
    """A data version that a function reads; nothing in it can be changed.

    Attributes:
        committed: the data version, opened.
        folder: its files under the names they landed with.
    """

    committed: CommittedDataset
    folder: Path

    @property
    def reference(self) -> str:
        """`dataset@version`."""
        return self.committed.reference

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of their indices; none where labels are numbers."""
        return [entry["name"] for entry in self.committed.classes or []]

    @property
    def files(self) -> pd.DataFrame:
        """One row a file: `path` below the folder, `role`, `scene`, `datetime`, `crs` and so on."""
        return self.committed.manifest.copy()

    @property
    def samples(self) -> pd.DataFrame:
        """One row a sample: `path` of its file, place, time, `label`, `group` and `split`."""
        return self.committed.samples.copy()

    def training_data(
        self,
        task: str | None = None,
        view: View | None = None,
        bands: Sequence[str] | None = None,
        scaling: DeclaredScaling = "none",
    ) -> TrainingData:
        """Return the samples as a trainer gets them: arrays, tables and loaders by split.

        Args:
            task: `classification`, `semantic-segmentation` or `regression`; by the data if not
                given.
            view: shape of a sample; as the dataset is read if not given.
            bands: names of features or bands; all if not given.
            scaling: none if not given.

        Raises:
            SpecificationError: the data has no such view or bands, or does not fit the task.
        """
        from mlops_assets.datasets.loading.training_data import TrainingData

        return TrainingData(self.committed, task or self._task, view, bands, scaling)

    @property
    def _task(self) -> str:
        if self.committed.classes is None:
            return "regression"
        windows = self.committed.document.input.kind == "window"
        return "semantic-segmentation" if windows else "classification"


@dataclass(frozen=True)
class ProcessingRun:
    """The run of a function, as the function sees it.

    Python and NumPy are seeded with 0, so that equal runs can write equal files; so is PyTorch
    where the function's module imports it, or names it by `FRAMEWORK = "pytorch"`.

    Attributes:
        directory: a scratch folder, removed after the run.
        gpus: GPUs that are declared.
        notes: those of `note` so far.
    """

    directory: Path
    gpus: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def device(self) -> str:
        """`cuda:0` if a GPU is declared and there is one, else `cpu`."""
        if not self.gpus:
            return "cpu"
        import torch

        return "cuda:0" if torch.cuda.is_available() else "cpu"

    def note(self, text: str) -> None:
        """Add a remark for people to the data version, such as what was left out and why.

        Args:
            text: one line; the end of one of more than 1000 characters is left out.
        """
        line = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()
        self.notes.append(line if len(line) <= MAX_NOTE else f"{line[:MAX_NOTE]}…")
