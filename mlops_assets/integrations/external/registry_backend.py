"""Recording an external run by a process that reaches workspace and registry itself."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import MlopsError, TrainerError
from mlops_assets.integrations.external.external_run import ExternalRun, recorded
from mlops_assets.integrations.external.recording import (
    ExternalRunRequest,
    NativeMade,
    OnnxMade,
    begin,
    end,
    parity_samples,
    publish,
)
from mlops_assets.models.lifecycle import Outcome, Reporter, complete
from mlops_assets.models.signature import data_for
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.patience import patiently
from mlops_assets.registry.runs import RunFacts
from mlops_assets.store import Store
from mlops_assets.training.metric_writer import PointWriter


class RegistryBackend:
    """Records into the registry."""

    def __init__(
        self, store: Store, specification: ModelSpecification, run: Run, reporter: Reporter
    ) -> None:
        """Record a started run."""
        self._store = store
        self._specification = specification
        self._run = run
        self._reporter = reporter

    def samples(self) -> NDArray[np.float32]:
        """Return the samples of the parity check, raw."""
        return parity_samples(self._store, self._specification, self._run.data_version)

    def end(self, status: str, error: str | None, facts: RunFacts) -> None:
        """Record that the run ended without a model."""
        end(self._store, self._run.run_id, status, error, facts)

    def publish(
        self,
        made: NativeMade | OnnxMade,
        figures: Mapping[str, bytes],
        facts: RunFacts,
        points: int,
    ) -> Outcome:
        """Publish the model and do the stages that follow."""
        row = publish_or_record_failure(
            self._store, self._specification, self._run, made, figures, facts
        )
        return complete(self._store, self._specification, row, self._reporter)


def publish_or_record_failure(
    store: Store,
    specification: ModelSpecification,
    run: Run,
    made: NativeMade | OnnxMade,
    figures: Mapping[str, bytes],
    facts: RunFacts,
) -> ModelVersion:
    """Publish the model of a run; if it cannot be published, record the run as failed.

    Raises:
        TrainerError: no adapter supports the model, or its outputs do not suit the task.
        ExportError: it cannot be written safely, or is an ONNX file without the contract.
    """
    try:
        row = publish(store, specification, run, made, figures, facts)
    except MlopsError as error:
        end(store, run.run_id, "failed", str(error), facts)
        raise
    except Exception as error:
        end(store, run.run_id, "failed", traceback.format_exc(), facts)
        raise TrainerError(
            f"the model cannot be published: {type(error).__name__}: {error}"
        ) from error
    return row


@contextmanager
def record_in_registry(
    store: Store,
    specification: ModelSpecification,
    request: ExternalRunRequest,
    reporter: Reporter,
    gpus: int = 0,
) -> Iterator[ExternalRun]:
    """Record a run of this process, and its model. See `mlops_assets.external.external_run`.

    Args:
        store: records the run, and has its data.
        specification: the model as declared.
        request: the run.
        reporter: receives the reports of the stages.
        gpus: number of GPUs whose usage is measured.
    """
    started = patiently(lambda: begin(store, specification, request))
    points = PointWriter(store.registry, started.run_id, store.registry.next_seq(started.run_id))
    backend = RegistryBackend(store, specification, started, reporter)
    data = data_for(store, specification, started.data_version)
    run = ExternalRun(started.run_id, request.seed, backend, points, data)
    with recorded(run, backend, points, gpus):
        yield run
