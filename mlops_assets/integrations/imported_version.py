"""A model version whose training was not seen here: the run that stands for it, and publication."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Mapping, Sequence

from mlops_assets.errors import MlopsError
from mlops_assets.models.publish import Artefact, FinishedRun, publish_version
from mlops_assets.models.run_documents import end_run
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.registry import DataVersion, ModelVersion, Run
from mlops_assets.registry.schema import IMPORTED
from mlops_assets.registry.store import now
from mlops_assets.store import Store


def imported_run(
    run_id: uuid.UUID, model: str, data: DataVersion, tags: Mapping[str, str], user: str
) -> Run:
    """Return the row of an import, without parameters and with the seed 0.

    Args:
        run_id: the same for the same import, see `id_of_import`.
        model: its name here.
        data: that it is evaluated on.
        tags: of the run.
        user: who imports.
    """
    return Run(
        run_id=str(run_id),
        model=model,
        dataset=data.dataset,
        data_version=data.version,
        data_digest=data.digest,
        status="running",
        parameters={},
        seed=0,
        trainer=IMPORTED,
        code_version="unknown",
        hardware={},
        metrics={},
        started=now(),
        host=socket.gethostname(),
        pid=os.getpid(),
        source=IMPORTED,
        tags=dict(tags),
        created_by=user,
    )


def id_of_import(
    namespace: uuid.UUID, model: str, data: DataVersion, made_of: Sequence[str]
) -> uuid.UUID:
    """Return the id of an import, which is that of the same import before.

    Args:
        namespace: of the way of importing.
        model: its name here.
        data: that it is evaluated on.
        made_of: what else distinguishes imports.
    """
    parts = [model, data.dataset, data.version, data.digest, *made_of]
    return uuid.uuid5(namespace, json.dumps(parts))


def publish_imported(
    store: Store, specification: ModelSpecification, finished: FinishedRun, artefact: Artefact
) -> ModelVersion:
    """Publish the model version of an import, and with it the success of its run.

    Args:
        store: workspace and registry.
        specification: of the model.
        finished: its run, which is started here.
        artefact: the files.

    Raises:
        MlopsError: it cannot be written; then the run has failed.
    """
    # in place of one that was interrupted, or has failed
    store.registry.start_run(finished.run)
    try:
        return publish_version(store, specification, finished, artefact)
    except MlopsError as error:
        end_run(store, finished.run.run_id, "failed", str(error))
        raise
