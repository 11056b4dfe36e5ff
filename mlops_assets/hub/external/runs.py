"""External runs as the API's callers record them: start, state, uploads, finish.

HTTP is in `routes`, publication in `publisher`.
"""

from __future__ import annotations

import io
import shutil
import sys
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Literal

import numpy as np

from mlops_assets.components.project.definitions import DeclaredModels
from mlops_assets.errors import Conflict
from mlops_assets.hub.external.publisher import FINISH, OUTCOME, Finisher, Job
from mlops_assets.hub.external.uploads import NATIVE, Staging
from mlops_assets.hub.rest.errors import Refused
from mlops_assets.hub.rest.schemas import RunFinish, RunStart, RunState
from mlops_assets.identity.bearer import SHARED
from mlops_assets.integrations.external.origin import Origin
from mlops_assets.integrations.external.recording import (
    ExternalRunRequest,
    begin,
    end,
    external,
    parity_samples,
    running,
    specification_for,
)
from mlops_assets.names import Reference
from mlops_assets.principals import Principal, Role
from mlops_assets.registry import Run
from mlops_assets.registry.runs import LoggedPoint, RunFacts
from mlops_assets.store import Store

API = "/api/v1"
_LINKS = {
    "points": "points",
    "samples": "samples",
    "finish": "finish",
    "model.onnx": "model.onnx",
    "native": "native/{name}",
    "outputs": "outputs/{name}.npy",
    "figures": "figures/{name}.png",
}


@dataclass(frozen=True)
class ExternalRuns:
    """External runs, recorded on behalf of one caller.

    Attributes:
        store: the workspace and registry; its principal is the caller.
        uploads: folder of this machine for uploaded files.
        dagster_home: of the Dagster instance to which runs are reported.
        models: models that the project declares, by name.
        finisher: publishes finished runs.
        base_url: URL that links begin with; they are relative to the server if it is empty.
    """

    store: Store
    uploads: Path
    dagster_home: Path
    models: DeclaredModels
    finisher: Finisher
    base_url: str = ""

    def acting(self, principal: Principal) -> ExternalRuns:
        """Return the same, on behalf of another caller."""
        return replace(self, store=self.store.acting(principal))

    def external(self, run_id: str) -> Run:
        """Return a run.

        Raises:
            NotFound: there is no such external run.
        """
        return external(self.store.registry, run_id)

    def running(self, run_id: str) -> Run:
        """Return a run that has not ended.

        Raises:
            NotFound: there is no such external run.
            Conflict: it has ended.
        """
        return running(self.store.registry, run_id)

    def start(self, start: RunStart) -> tuple[Run, bool]:
        """Start or continue a run; return it, and whether it was known.

        Raises:
            Refused: the request declares what only the project may declare.
            MlopsError: the run cannot be recorded.
        """
        reference = Reference.parse(start.data)
        declared = self.models.get(start.model)
        if declared is None and "architectures" in start.declared:
            raise Refused(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "'architectures' may be declared in the project only; leave it out",
            )
        specification = specification_for(declared, start.model, reference.name, start.declared)
        known = start.run_id is not None and bool(self.store.registry.runs(run_id=start.run_id))
        shared = self.store.registry.principal == SHARED
        origin = Origin(
            trainer=start.trainer,
            code_version=start.code.version,
            changes=start.code.changes,
            environment=start.environment,
            hardware=start.hardware,
            host=start.host,
            pid=start.pid,
            created_by=start.created_by if shared else self.store.user,
        )
        request = ExternalRunRequest(
            start.model,
            reference,
            start.parameters,
            start.seed,
            origin,
            start.run_id,
            start.tags,
        )
        run = begin(self.store, specification, request)
        staging = self._staging(run)
        staging.forget(OUTCOME)
        staging.forget(FINISH)
        staging.begin(specification)
        return run, known

    def log(self, run: Run, points: list[LoggedPoint]) -> None:
        """Append points to a run; those that are recorded already stay as they are."""
        self.store.registry.log(run.run_id, points)

    def samples(self, run: Run) -> bytes:
        """Return the samples of the parity check as the bytes of an NPY file."""
        specification = self._staging(run).specification()
        X = parity_samples(self.store, specification, run.data_version)
        buffer = io.BytesIO()
        np.save(buffer, X, allow_pickle=False)
        return buffer.getvalue()

    def receiving(self, run_id: str) -> Staging:
        """Return the folder for uploads of a run.

        Raises:
            Forbidden: the caller may not upload; nothing is written.
            NotFound: there is no such external run.
            Conflict: the run has ended, or is being published.
        """
        self._require_scientist()
        run = self.running(run_id)
        if self.finisher.busy(run.run_id):
            raise Conflict(f"run {run.run_id} is already being published; it takes no more uploads")
        return self._staging(run)

    def finish(self, run: Run, finish: RunFinish) -> bool:
        """End a run; return whether its model is being published.

        Raises:
            Forbidden: the caller may not end runs.
            Conflict: the run has ended otherwise, or lacks points.
            Refused: no model was uploaded, or more than one.
        """
        self._require_scientist()
        if self.finisher.busy(run.run_id):
            return True
        staging = self._staging(run)
        facts = finish.model_dump(include={"phases", "usage", "seconds"})
        if finish.status != "succeeded":
            if run.status != finish.status:
                end(self.store, run.run_id, finish.status, finish.error, RunFacts(**facts))
                shutil.rmtree(staging.folder, ignore_errors=True)
            return False
        if run.status not in ("running", "succeeded"):
            raise Conflict(
                f"run {run.run_id} has {run.status}; start it again with its id to continue"
            )
        done = staging.read(OUTCOME)
        if run.status == "succeeded" and done is not None and "outcome" in done:
            return False
        logged = self.store.registry.next_seq(run.run_id)
        if finish.points is not None and logged != finish.points:
            raise Conflict(
                f"run {run.run_id} has {logged} of {finish.points} points; send the others first"
            )
        if run.status == "running":
            _require_model(staging, finish)
        staging.write(FINISH, {"framework": finish.framework, "facts": facts})
        self.finisher.submit(self._job(run))
        return True

    def state(self, run_id: str) -> RunState:
        """Return the state of a run.

        Raises:
            NotFound: there is no such external run.
        """
        # read first: once it is not busy, its outcome is complete
        busy = self.finisher.busy(run_id)
        run = self.external(run_id)
        staging = self._staging(run)
        done = staging.read(OUTCOME)
        publication = _publication(busy, done is not None, staging.read(FINISH) is not None)
        base = f"{self.base_url}{API}/runs/{run.run_id}"
        return RunState.model_validate(
            {
                "run_id": run.run_id,
                "model": run.model,
                "data": f"{run.dataset}@{run.data_version}",
                "status": run.status,
                "error": run.error,
                "model_version": run.model_version,
                "attempts": run.attempts,
                "points": self.store.registry.next_seq(run.run_id),
                "publication": publication,
                **(done if publication == "done" else {}),
                "links": {
                    "self": base,
                    **{name: f"{base}/{path}" for name, path in _LINKS.items()},
                },
            }
        )

    def _staging(self, run: Run) -> Staging:
        return Staging(self.uploads / run.run_id)

    def _job(self, run: Run) -> Job:
        return Job(
            workspace=self.store.workspace.url,
            registry=self.store.registry.url,
            cache=self.store.workspace.cache,
            principal=self.store.registry.principal,
            dagster_home=self.dagster_home,
            folder=self._staging(run).folder,
            run_id=run.run_id,
            import_path=sys.path,
        )

    def _require_scientist(self) -> None:
        """Refuse callers who may not record runs before any of their files is stored."""
        self.store.registry.principal.require(Role.SCIENTIST, "send a model")


def _publication(
    busy: bool, done: bool, requested: bool
) -> Literal["busy", "done", "interrupted"] | None:
    if busy:
        return "busy"
    if done:
        return "done"
    return "interrupted" if requested else None


def _require_model(staging: Staging, finish: RunFinish) -> None:
    """Check that exactly one model was uploaded.

    Raises:
        Refused: none was, or more than one.
    """
    native = bool(staging.files(NATIVE))
    onnx = staging.onnx.is_file()
    if finish.framework is not None and not native:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no native artefact was uploaded: PUT its files to native/NAME",
        )
    if finish.framework is None and not onnx:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no model was uploaded: PUT model.onnx, or files to native/NAME",
        )
    if native and onnx:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "both an ONNX file and a native artefact were uploaded; upload one",
        )
