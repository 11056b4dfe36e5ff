"""External runs over HTTP: start, points, files, finish."""

from __future__ import annotations

import functools
import io
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mlops_assets.components.project.launch import DeclaredModels
from mlops_assets.errors import Conflict
from mlops_assets.hub.errors import Refused, document
from mlops_assets.hub.publisher import FINISH, OUTCOME, Finisher, Job
from mlops_assets.hub.schemas import Finish, Points, Start
from mlops_assets.hub.uploads import NATIVE, Staging
from mlops_assets.identity.bearer import SHARED
from mlops_assets.integrations.external.origin import Origin
from mlops_assets.integrations.external.recording import (
    begin,
    end,
    external,
    parity_samples,
    running,
    specification_for,
)
from mlops_assets.models.export.uploaded_onnx import OUTPUTS
from mlops_assets.names import Reference, check_key
from mlops_assets.principals import Role
from mlops_assets.registry import Run
from mlops_assets.registry.runs import RunFacts
from mlops_assets.store import Store

MAX_FILE = 2 << 30
MAX_FIGURE = 16 << 20
PNG = b"\x89PNG\r\n\x1a\n"
NPY = b"\x93NUMPY"

Endpoint = Callable[["RunsApi", Request], Awaitable[Response]]


def _for_caller(endpoint: Endpoint) -> Endpoint:
    """Have an endpoint act for whoever calls.

    Without this it acts for nobody, who may do nothing.
    """

    @functools.wraps(endpoint)
    async def respond(api: RunsApi, request: Request) -> Response:
        return await endpoint(
            replace(api, store=api.store.acting(request.state.principal)), request
        )

    return respond


@dataclass
class RunsApi:
    """The endpoints below `/runs`.

    Attributes:
        store: where runs are recorded; what an endpoint does, it does for its caller.
        staged: folder of this machine for what callers send.
        dagster_home: of the instance that is told.
        models: models that the project declares, by name.
        finisher: publishes.
        largest_file: bytes of a file at most.
        base_url: what links begin with.
    """

    store: Store
    staged: Path
    dagster_home: Path
    models: DeclaredModels
    finisher: Finisher
    largest_file: int = MAX_FILE
    base_url: str = ""

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/runs", self.start, methods=["POST"]),
            Route("/runs/{run_id:uuid}", self.show, methods=["GET"]),
            Route("/runs/{run_id:uuid}/points", self.points, methods=["POST"]),
            Route("/runs/{run_id:uuid}/samples", self.samples, methods=["GET"]),
            Route("/runs/{run_id:uuid}/model.onnx", self.onnx, methods=["PUT"]),
            Route("/runs/{run_id:uuid}/native/{name}", self.native, methods=["PUT"]),
            Route("/runs/{run_id:uuid}/outputs/{name}.npy", self.outputs, methods=["PUT"]),
            Route("/runs/{run_id:uuid}/figures/{name}.png", self.figure, methods=["PUT"]),
            Route("/runs/{run_id:uuid}/finish", self.finish, methods=["POST"]),
        ]

    @_for_caller
    async def start(self, request: Request) -> Response:
        """Start a run, or continue it: 201, or 200 if it was known."""
        said = await document(request, Start)
        run, known = await run_in_threadpool(self._start, said)
        return JSONResponse(
            await self._document(run.run_id), HTTPStatus.OK if known else HTTPStatus.CREATED
        )

    @_for_caller
    async def show(self, request: Request) -> Response:
        """Return the state of a run."""
        run = await self._external(request)
        return JSONResponse(await self._document(run.run_id))

    @_for_caller
    async def points(self, request: Request) -> Response:
        """Append points to a running run; those that are there already are left."""
        run, said = await self._running(request), await document(request, Points)
        await run_in_threadpool(self.store.registry.log, run.run_id, said.points)
        return JSONResponse({"received": len(said.points)})

    @_for_caller
    async def samples(self, request: Request) -> Response:
        """Give the samples of the parity check as NPY."""
        run = await self._running(request)

        def read() -> bytes:
            X = parity_samples(self.store, self._staging(run).specification(), run.data_version)
            buffer = io.BytesIO()
            np.save(buffer, X, allow_pickle=False)
            return buffer.getvalue()

        return Response(await run_in_threadpool(read), media_type="application/octet-stream")

    @_for_caller
    async def onnx(self, request: Request) -> Response:
        """Take the model as an ONNX file."""
        staging = await self._receiving(request)
        return JSONResponse(await staging.receive(request, staging.onnx, self.largest_file))

    @_for_caller
    async def native(self, request: Request) -> Response:
        """Take one file of the model's native artefact."""
        staging, name = (
            await self._receiving(request),
            check_key(request.path_params["name"], "file name"),
        )
        return JSONResponse(
            await staging.receive(request, staging.folder / NATIVE / name, self.largest_file)
        )

    @_for_caller
    async def outputs(self, request: Request) -> Response:
        """Take what the model's own framework gives for the samples of the parity check."""
        staging, name = await self._receiving(request), request.path_params["name"]
        if name not in OUTPUTS:
            raise Refused(
                HTTPStatus.NOT_FOUND, f"outputs {name!r} are not known; send {', '.join(OUTPUTS)}"
            )
        target = staging.folder / "outputs" / f"{name}.npy"
        return JSONResponse(await staging.receive(request, target, self.largest_file, NPY))

    @_for_caller
    async def figure(self, request: Request) -> Response:
        """Take a figure."""
        staging, name = (
            await self._receiving(request),
            check_key(request.path_params["name"], "figure"),
        )
        target = staging.folder / "figures" / f"{name}.png"
        return JSONResponse(await staging.receive(request, target, MAX_FIGURE, PNG))

    @_for_caller
    async def finish(self, request: Request) -> Response:
        """End a run: at once if it failed, else 202 while its model is being published."""
        said = await document(request, Finish)
        run = await self._external(request)
        accepted = await run_in_threadpool(self._finish, run, said)
        return JSONResponse(
            await self._document(run.run_id), HTTPStatus.ACCEPTED if accepted else HTTPStatus.OK
        )

    def _start(self, said: Start) -> tuple[Run, bool]:
        reference = Reference.parse(said.data)
        declared = self.models.get(said.model)
        if declared is None and "architectures" in said.declared:
            raise Refused(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "'architectures' may be declared in the project only; leave it out",
            )
        specification = specification_for(declared, said.model, reference.name, said.declared)
        known = said.run_id is not None and bool(self.store.registry.runs(run_id=said.run_id))
        code, rest = (
            said.code,
            said.model_dump(include={"trainer", "environment", "hardware", "host", "pid"}),
        )
        author = said.created_by if self.store.registry.principal == SHARED else self.store.user
        origin = Origin(code_version=code.version, changes=code.changes, created_by=author, **rest)
        run = begin(
            self.store,
            specification,
            reference.what,
            said.parameters,
            said.seed,
            origin,
            said.run_id,
            said.tags,
        )
        staging = self._staging(run)
        staging.forget(OUTCOME)
        staging.forget(FINISH)
        staging.begin(specification)
        return run, known

    def _finish(self, run: Run, said: Finish) -> bool:
        """End a run; say whether it is being published."""
        self._require_scientist()
        staging = self._staging(run)
        if self.finisher.busy(run.run_id):
            return True
        if said.status != "succeeded":
            if run.status != said.status:
                facts = RunFacts(**self._facts(said))
                end(self.store, run.run_id, said.status, said.error, facts)
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
        if said.points is not None and logged != said.points:
            raise Conflict(
                f"run {run.run_id} has {logged} of {said.points} points; send the others first"
            )
        if run.status == "running":
            _require_sent(staging, said)
        staging.write(FINISH, {"framework": said.framework, "facts": self._facts(said)})
        self.finisher.submit(
            Job(
                workspace=self.store.workspace.url,
                registry=self.store.registry.url,
                cache=self.store.workspace.cache,
                principal=self.store.registry.principal,
                dagster_home=self.dagster_home,
                folder=staging.folder,
                run_id=run.run_id,
                import_path=sys.path,
            )
        )
        return True

    def _facts(self, said: Finish) -> dict[str, Any]:
        return said.model_dump(include={"phases", "usage", "seconds"})

    def _staging(self, run: Run) -> Staging:
        return Staging(self.staged / run.run_id)

    async def _external(self, request: Request) -> Run:
        return await run_in_threadpool(
            external, self.store.registry, str(request.path_params["run_id"])
        )

    async def _running(self, request: Request) -> Run:
        return await run_in_threadpool(
            running, self.store.registry, str(request.path_params["run_id"])
        )

    def _require_scientist(self) -> None:
        """Refuse callers who may not record runs.

        They are refused before anything that they send is kept, which the registry does not see.
        """
        self.store.registry.principal.require(Role.SCIENTIST, "send a model")

    async def _receiving(self, request: Request) -> Staging:
        self._require_scientist()
        run = await self._running(request)
        if self.finisher.busy(run.run_id):
            raise Conflict(f"run {run.run_id} is being published; what comes now is too late")
        return self._staging(run)

    async def _document(self, run_id: str) -> dict[str, Any]:
        # asked first: once it is not, what came of it can be read
        busy = self.finisher.busy(run_id)
        run = await run_in_threadpool(external, self.store.registry, run_id)
        staging = self._staging(run)
        done, asked = staging.read(OUTCOME), staging.read(FINISH) is not None
        state = "busy" if busy else "done" if done else "interrupted" if asked else None
        base = f"{self.base_url}/runs/{run.run_id}"
        return {
            "run_id": run.run_id,
            "model": run.model,
            "data": f"{run.dataset}@{run.data_version}",
            "status": run.status,
            "error": run.error,
            "model_version": run.model_version,
            "attempts": run.attempts,
            "points": await run_in_threadpool(self.store.registry.next_seq, run.run_id),
            "publication": state,
            **({} if state != "done" else done),
            "links": {
                "self": base,
                **{
                    name: f"{base}/{name}" for name in ("points", "samples", "finish", "model.onnx")
                },
                "native": f"{base}/native/{{name}}",
                "outputs": f"{base}/outputs/{{name}}.npy",
                "figures": f"{base}/figures/{{name}}.png",
            },
        }


def _require_sent(staging: Staging, said: Finish) -> None:
    """Check that there is one model.

    Raises:
        Refused: there is none, or more than one.
    """
    native, onnx = bool(staging.files(NATIVE)), staging.onnx.is_file()
    if said.framework is not None and not native:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no native artefact was sent: PUT its files to native/NAME",
        )
    if said.framework is None and not onnx:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no model was sent: PUT model.onnx, or files to native/NAME",
        )
    if native and onnx:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "both an ONNX file and a native artefact were sent; send one",
        )
