"""The caller's interface to an external run, the same with a registry or a server behind it.

It takes what the caller says; where that goes is the business of a `Backend`.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.errors import MlopsError, StorageError, TrainerError
from mlops_assets.integrations.external.recording import NativeMade, OnnxMade
from mlops_assets.models.export.uploaded_onnx import OUTPUTS
from mlops_assets.models.lifecycle import Outcome
from mlops_assets.registry.runs import RunFacts
from mlops_assets.training.checkpoints import Checkpoints
from mlops_assets.training.metric_writer import PointWriter
from mlops_assets.training.process.resource_usage import Usage
from mlops_assets.training.run import TrainingRun

log = logging.getLogger(__name__)


class Backend(Protocol):
    """The backend that records a run."""

    def samples(self) -> NDArray[np.float32]:
        """Return the samples of the parity check, raw."""
        ...

    def end(self, status: str, error: str | None, facts: RunFacts) -> None:
        """Record that the run ended without a model."""
        ...

    def publish(
        self,
        made: NativeMade | OnnxMade,
        figures: Mapping[str, bytes],
        facts: RunFacts,
        points: int,
    ) -> Outcome:
        """Publish the model and do the stages that follow.

        `points` is how many the run has logged in all.
        """
        ...


class ExternalRun:
    """An external run, while it is running.

    Attributes:
        run_id: identifier of the run; with it an interrupted run continues.
        seed: as it was said; nothing is seeded with it here.
        outcome: what came of the model, once the `with` block is left.
    """

    def __init__(
        self,
        run_id: str,
        seed: int,
        backend: Backend,
        points: PointWriter,
        data: TrainingData | None = None,
    ) -> None:
        """Make the face of a started run; `data` is None where the workspace is not reached."""
        self.run_id, self.seed = run_id, seed
        self.outcome: Outcome | None = None
        self._backend, self._points, self._data = backend, points, data
        self._made: NativeMade | OnnxMade | None = None
        # checkpoints are kept where the training is
        self._run = TrainingRun(run_id, seed, Path(), points, cast(Checkpoints, None))

    @property
    def data(self) -> TrainingData:
        """The data version as a trainer gets it: selected and scaled as declared.

        Raises:
            StorageError: the run is reported by HTTP, and the workspace is not reached from here.
        """
        if self._data is None:
            raise StorageError(
                "the data cannot be read by HTTP; copy it here with 'mlops dataset recall'"
            )
        return self._data

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log metric values at a step; they are kept and sent again if the platform is unreachable.

        Raises:
            TrainerError: a value is NaN or infinite.
        """
        self._run.log(metrics, step)

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Record how long a part of the training takes, e.g. `data`.

        Times under one name add up.
        """
        return self._run.phase(name)

    def figure(self, name: str, png: bytes) -> None:
        """Publish a PNG with the model version, as `figures/<name>.png`.

        Raises:
            NameRefused: the name cannot be part of a path.
            TrainerError: it is not a PNG.
        """
        if not png.startswith(b"\x89PNG\r\n\x1a\n"):
            raise TrainerError(
                f"figure {name!r} is not a PNG; save it as one, e.g. with figure.savefig(…,"
                " format='png')"
            )
        self._run.figure(name, png)

    def samples(self) -> NDArray[np.float32]:
        """Return samples of the test split, raw, for `onnx`.

        What the model gives for them proves that ONNX equals it.

        Returns:
            X, float32 of shape (n, *sample_shape).
        """
        return self._backend.samples()

    def model(self, model: Any) -> None:
        """Give the trained model, of any framework that has an adapter.

        It is published when the block is left.
        """
        if model is None:
            raise TrainerError("run.model(None): give the trained model")
        self._made = NativeMade(model)

    def onnx(
        self, path: str | Path, outputs: ArrayLike | Mapping[str, ArrayLike] | None = None
    ) -> None:
        """Give the model as an ONNX file; it is published when the block is left.

        Args:
            path: input `input`, float32 (batch, *sample_shape), raw values; output `scores`,
                `label` or `value`.
            outputs: what the trained model gives for `samples()`: `scores` or `value` as the ONNX
                file gives them, or several by name. Without them the version is published, and
                never passes parity.

        Raises:
            TrainerError: there is no such file.
        """
        file = Path(path)
        if not file.is_file():
            raise TrainerError(f"{file} is no file; give the path of the ONNX file")
        self._made = OnnxMade(file, _by_name(file, outputs))

    def facts(self, usage: Usage, started: float) -> RunFacts:
        """Return the measurements of the run so far."""
        seconds = time.monotonic() - started
        return RunFacts(self._run.metrics, self._run.phases, usage.document(), seconds)

    def finish(self, facts: RunFacts) -> None:
        """Publish the model.

        Raises:
            TrainerError: there is none, or it cannot be published.
            ParityError: the model is published, but its ONNX file is not proved.
        """
        if self._made is None:
            message = (
                "the run ended without a model; call run.model(…) or run.onnx(…) before it does"
            )
            self._backend.end("failed", message, facts)
            raise TrainerError(f"run {self.run_id}: {message}")
        self.outcome = self._backend.publish(self._made, self._run.figures, facts, self._points.seq)
        log.info("%s", self.outcome)
        self.outcome.raise_for_failure()


@contextmanager
def recorded(
    run: ExternalRun, backend: Backend, points: PointWriter, gpus: int
) -> Iterator[ExternalRun]:
    """Yield a started run, and record how it ends."""
    started, usage = time.monotonic(), Usage(gpus)
    try:
        with usage:
            try:
                yield run
            finally:  # what was logged before a failure says most about it
                points.close()
    except MlopsError as error:
        backend.end("failed", str(error), run.facts(usage, started))
        raise
    except (Exception, SystemExit):
        backend.end("failed", traceback.format_exc(), run.facts(usage, started))
        raise
    except (
        BaseException
    ) as error:  # an interrupt must be recorded too, and then do what it was going to do
        backend.end(
            "canceled", f"{type(error).__name__}: stopped from outside", run.facts(usage, started)
        )
        raise
    run.finish(run.facts(usage, started))


def _by_name(
    path: Path, outputs: ArrayLike | Mapping[str, ArrayLike] | None
) -> dict[str, NDArray[Any]]:
    if outputs is None:
        return {}
    if isinstance(outputs, Mapping):
        return {str(name): np.asarray(values) for name, values in outputs.items()}
    import onnx

    given = {output.name for output in onnx.load(path, load_external_data=False).graph.output}
    name = next((name for name in OUTPUTS if name in given), "scores")
    return {name: np.asarray(outputs)}
