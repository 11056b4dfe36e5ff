"""The step that trains a model: what it asks for, and what it continues."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.components.graph.pods import requested_compute
from mlops_assets.components.naming import (
    EXPERIMENT,
    NOTE,
    RESUME,
    RUN_TAGS,
    ancestors,
    requested_by,
)
from mlops_assets.errors import SpecificationError
from mlops_assets.models.frameworks import preloadable_modules
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.training.trainers import Trainer

if TYPE_CHECKING:
    from mlops_assets.registry import ModelVersion
    from mlops_assets.store import Store
    from mlops_assets.training.request import TrainingRequest

# modules that the steps after a training import, which takes seconds
_LATER = (
    "mlops_assets.models.export.export",
    "mlops_assets.models.evaluation.evaluate",
    "mlops_assets.models.evaluation.figures",
    "mlops_assets.models.evaluation.model_card",
    "mlops_assets.stac.models",
    "onnxruntime",
)


def experiment_tag(context: dg.AssetExecutionContext, experiment: bool) -> dict[str, str]:
    """Return the tag that marks an experiment; a run as declared has none.

    A run that is opened in the Launchpad again comes with its tags.
    """
    if not experiment and EXPERIMENT not in context.run.tags:
        return {}
    return {EXPERIMENT: "true" if experiment else "false"}


def with_requested_compute(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, specification: ModelSpecification
) -> ModelSpecification:
    """Return a model with the compute that a Dagster run asks for; as declared if it asks none.

    It limits the trainer's process, and is that of the pod that it runs in. The pool in which its
    step waits is that of the declared compute.

    Raises:
        SpecificationError: it is not valid.
    """
    compute = requested_compute(specification.compute, context.run.tags)
    if compute == specification.compute:
        return specification
    return specification.model_copy(update={"compute": compute})


def requested_tags(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
) -> dict[str, str]:
    """Return the tags that a Dagster run asks for its training runs.

    Raises:
        SpecificationError: they are not valid.
    """
    try:
        found = json.loads(context.run.tags.get(RUN_TAGS, "{}"))
        return {str(name): str(value) for name, value in found.items()}
    except (AttributeError, ValueError) as error:
        raise SpecificationError(f"the tag {RUN_TAGS} is not valid: {error}") from error


def requested_training(
    context: dg.AssetExecutionContext,
    specification: ModelSpecification,
    parameters: Mapping[str, object],
    seed: int,
) -> TrainingRequest:
    """Return the training that a Dagster run asks for.

    Raises:
        SpecificationError: its tags are not valid.
    """
    from mlops_assets.training.request import TrainingRequest, run_identifier

    return TrainingRequest(
        specification=with_requested_compute(context, specification),
        tags=requested_tags(context),
        note=context.run.tags.get(NOTE, ""),
        data_version=context.partition_key,
        parameters=dict(parameters),
        seed=seed,
        orchestration_run=context.run.run_id,
        run_id=run_identifier(requested_by(context), specification.name, context.partition_key),
    )


def continued(
    context: dg.AssetExecutionContext, store: Store, request: TrainingRequest
) -> TrainingRequest:
    """Return a training as that of the interrupted run that it continues, if it does."""
    from mlops_assets.training.resume import resumable_run

    resumed = context.run.tags.get(RESUME) or resumable_run(store, request, ancestors(context)[1:])
    return request.with_run_id(resumed) if resumed else request


def trained_before(store: Store, request: TrainingRequest) -> ModelVersion | None:
    """Return what an earlier attempt of the same step has published, if it got that far."""
    run = next(iter(store.registry.runs(run_id=request.run_id)), None)
    if run is None or run.model_version is None:
        return None
    if run.orchestration_run != request.orchestration_run:
        return None
    return store.registry.model_version(Reference(run.model, run.model_version))


@contextmanager
def later_steps_loading(trainer: Trainer) -> Iterator[None]:
    """Import the modules of later steps in a thread, while a trainer works in another process."""

    def load() -> None:
        for name in (*_LATER, *preloadable_modules(trainer.framework)):
            # from then on the main thread imports modules itself
            if ended.is_set():
                return
            # the step itself reports an error
            with suppress(Exception):
                importlib.import_module(name)

    ended = threading.Event()
    loading = threading.Thread(target=load, name="importing", daemon=True)
    loading.start()
    try:
        yield
    finally:
        ended.set()
        loading.join()
