"""The caller's interface to an external run, the same with a registry or a server behind it.

Where a run is recorded is the business of a `Backend`.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, cast

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
        seed: as given; nothing is seeded with it here.
        outcome: of the model's stages; None until the `with` block is left.
    """

    def __init__(
        self,
        run_id: str,
        seed: int,
        backend: Backend,
        points: PointWriter,
        data: TrainingData | None = None,
    ) -> None:
        """Wrap a started run.

        Args:
            run_id: identifier of the run.
            seed: of its random numbers.
            backend: records the run.
            points: writes the metrics that are logged.
            data: the data version; None where the workspace is unreachable.
        """
        self.run_id = run_id
        self.seed = seed
        self.outcome: Outcome | None = None
        self._backend = backend
        self._points = points
        self._data = data
        self._made: NativeMade | OnnxMade | None = None
        # checkpoints are kept where the training is
        self._run = TrainingRun(run_id, seed, Path(), points, cast(Checkpoints, None))

    @property
    def data(self) -> TrainingData:
        """The data version as a trainer gets it: selected and scaled as declared.

        Raises:
            StorageError: the run is recorded over HTTP, where the workspace is unreachable.
        """
        if self._data is None:
            raise StorageError(
                "the data cannot be read by HTTP; copy it here with 'mlops dataset recall'"
            )
        return self._data

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log metric values at a step; they are kept and sent again if the platform is unreachable.

        Args:
            metrics: name → value.
            step: number of the step, e.g. the epoch.

        Raises:
            TrainerError: a value is NaN or infinite.
        """
        self._run.log(metrics, step)

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Measure the duration of a part of the training, in seconds.

        Args:
            name: of the part, e.g. `data`; durations under one name add up.

        Returns:
            A context manager around the part.
        """
        return self._run.phase(name)

    def figure(self, name: str, png: bytes) -> None:
        """Publish a PNG with the model version, as `figures/<name>.png`.

        Args:
            name: of the figure.
            png: content of the PNG file.

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
        """Return samples of the test split, raw, on which `onnx` is compared with its original.

        Returns:
            X, float32 of shape (n, *sample_shape).
        """
        return self._backend.samples()

    def model(self, model: object) -> None:
        """Take the trained model; it is published when the `with` block is left.

        Args:
            model: of any framework that has an adapter.

        Raises:
            TrainerError: it is None.
        """
        if model is None:
            raise TrainerError("run.model(None): give the trained model")
        self._made = NativeMade(model)

    def onnx(
        self, path: str | Path, outputs: ArrayLike | Mapping[str, ArrayLike] | None = None
    ) -> None:
        """Take the model as an ONNX file; it is published when the `with` block is left.

        Args:
            path: input `input`, float32 (batch, *sample_shape), raw values; output `scores`,
                `label` or `value`.
            outputs: outputs of the trained model for `samples()`, of shape (n, …): `scores` or
                `value` as the ONNX file returns them, or several by name. Without them the version
                is published, and never passes parity.

        Raises:
            TrainerError: there is no such file.
        """
        file = Path(path)
        if not file.is_file():
            raise TrainerError(f"{file} is not a file; give the path of the ONNX file")
        self._made = OnnxMade(file, _by_name(file, outputs))

    def facts(self, usage: Usage, started: float) -> RunFacts:
        """Return the measurements of the run so far.

        Args:
            usage: the measured use of processor, memory and GPUs.
            started: `time.monotonic()` at its start.
        """
        seconds = time.monotonic() - started
        return RunFacts(self._run.metrics, self._run.phases, usage.document(), seconds)

    def finish(self, facts: RunFacts) -> None:
        """Publish the model.

        Args:
            facts: the measurements of the run.

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
    started = time.monotonic()
    usage = Usage(gpus)
    try:
        with usage:
            try:
                yield run
            finally:  # what was logged before a failure explains it best
                points.close()
    except MlopsError as error:
        backend.end("failed", str(error), run.facts(usage, started))
        raise
    except (Exception, SystemExit):
        backend.end("failed", traceback.format_exc(), run.facts(usage, started))
        raise
    except BaseException as error:  # an interrupt is recorded too, and then takes its course
        stopped = f"{type(error).__name__}: stopped from outside"
        backend.end("canceled", stopped, run.facts(usage, started))
        raise
    run.finish(run.facts(usage, started))


def _by_name(
    path: Path, outputs: ArrayLike | Mapping[str, ArrayLike] | None
) -> dict[str, NDArray[np.generic]]:
    if outputs is None:
        return {}
    if isinstance(outputs, Mapping):
        return {str(name): np.asarray(values) for name, values in outputs.items()}
    import onnx

    given = {output.name for output in onnx.load(path, load_external_data=False).graph.output}
    name = next((name for name in OUTPUTS if name in given), "scores")
    return {name: np.asarray(outputs)}
