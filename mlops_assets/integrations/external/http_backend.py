"""Recording an external run over HTTP, on a server that `mlops hub` runs.

What cannot be sent because the server is unreachable is kept and sent again. Callers use
`ExternalRun`, as with a registry.
"""

from __future__ import annotations

import base64
import hashlib
import io
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import IO, Literal

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from tenacity import Retrying, retry_if_result, wait_exponential

from mlops_assets.certificates import trusted_certificates
from mlops_assets.errors import MlopsError, SettingsError, StorageError, named_error
from mlops_assets.integrations.external.external_run import ExternalRun, recorded
from mlops_assets.integrations.external.recording import ExternalRunRequest, NativeMade, OnnxMade
from mlops_assets.models.frameworks import framework_of
from mlops_assets.models.lifecycle import Outcome
from mlops_assets.registry.patience import MAX_UNREACHABLE_SECONDS, patiently
from mlops_assets.registry.runs import LoggedPoint, RunFacts
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.text.json_values import JsonObject
from mlops_assets.training.metric_writer import PointWriter

ROUTE = "runs"  # of the HTTP API
POINTS_AT_ONCE = 10_000
MAX_POLL_SECONDS = 2.0  # polling interval of a publication, after 0.05, 0.1, …
TIMEOUT = httpx.Timeout(30.0, read=120.0, write=120.0)
# 502, 503, 504: the server, or a proxy in front of it, cannot answer for now
UNAVAILABLE = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
Token = str | Callable[[], str]


class Failure(BaseModel):
    """The error that ended a publication.

    Attributes:
        error: name of its class.
        message: its text.
    """

    error: str
    message: str


class RemoteRun(BaseModel):
    """The state of a run, as the server returns it.

    Attributes:
        points: number of logged points that the server has.
        publication: state of the publication of its model; None before it was requested.
        outcome: of the stages, if the model was published.
        failure: the error, if it was not.
    """

    points: int
    publication: Literal["busy", "done", "interrupted"] | None
    outcome: dict[str, object] | None = None
    failure: Failure | None = None

    @property
    def done(self) -> bool:
        """True once the publication has ended."""
        return self.publication == "done"


class HttpBackend:
    """Records a run on a server."""

    def __init__(
        self, client: httpx.Client, run_id: str, trainer: str, unreachable_seconds: float
    ) -> None:
        """Record a run.

        Args:
            client: of the server.
            run_id: identifier of the run.
            trainer: name of the script or notebook.
            unreachable_seconds: the longest time that the server may be unreachable.
        """
        self._client = client
        self._run_id = run_id
        self._trainer = trainer
        self._unreachable_seconds = unreachable_seconds
        self._refused: MlopsError | None = None

    def log(self, run_id: str, points: Sequence[LoggedPoint]) -> None:
        """Send points.

        Raises:
            StorageError: the server is unreachable; the same points may be given again.
        """
        for start in range(0, len(points), POINTS_AT_ONCE):
            batch = points[start : start + POINTS_AT_ONCE]
            try:
                self._call("POST", "/points", json={"points": batch})
            except StorageError:
                raise
            except MlopsError as error:  # the server refuses them, and would again
                self._refused = error
                return

    def samples(self) -> NDArray[np.float32]:
        """Return the samples of the parity check, raw."""
        content = self._patiently("GET", "/samples").content
        X: NDArray[np.float32] = np.load(io.BytesIO(content), allow_pickle=False)
        return X

    def end(self, status: str, error: str | None, facts: RunFacts) -> None:
        """Record that the run ended without a model."""
        self._patiently(
            "POST", "/finish", json={"status": status, "error": error, **_without_metrics(facts)}
        )

    def publish(
        self,
        made: NativeMade | OnnxMade,
        figures: Mapping[str, bytes],
        facts: RunFacts,
        points: int,
    ) -> Outcome:
        """Send the model, and wait until it is published and has gone through the stages.

        Raises:
            MlopsError: the model cannot be sent or published; the run has failed.
            StorageError: the server is unreachable for too long; what was sent of the run is kept.
        """
        try:
            if self._refused is not None:
                raise self._refused
            with scratch_folder("sent") as scratch:
                framework = self._send(made, scratch)
                for name, png in figures.items():
                    self._put(f"/figures/{name}.png", png)
            finish: JsonObject = {
                "status": "succeeded",
                "framework": framework,
                "points": points,
                **_without_metrics(facts),
            }
            return self._wait(finish)
        except StorageError as error:
            raise StorageError(
                f"{error}; run {self._run_id} is kept: continue with run_id={self._run_id!r}"
            ) from error
        except MlopsError as error:
            self.end("failed", str(error), facts)
            raise

    def _send(self, made: NativeMade | OnnxMade, scratch: Path) -> str | None:
        """Send the model; return the framework of a native artefact."""
        if isinstance(made, OnnxMade):
            self._put("/model.onnx", made.path)
            for name, values in made.outputs.items():
                buffer = io.BytesIO()
                np.save(buffer, values, allow_pickle=False)
                self._put(f"/outputs/{name}.npy", buffer.getvalue())
            return None
        framework = framework_of(made.model, self._trainer)
        framework.save(made.model, scratch)
        for path in sorted(scratch.iterdir()):
            self._put(f"/native/{path.name}", path)
        return framework.name

    def _wait(self, finish: JsonObject) -> Outcome:
        """Have the model published; return the outcome of the stages."""
        self._patiently("POST", "/finish", json=finish)
        polling = Retrying(
            retry=retry_if_result(lambda state: not state.done),
            wait=wait_exponential(multiplier=0.05, max=MAX_POLL_SECONDS),
        )
        state = polling(self._poll, finish)
        if state.failure is not None:
            failure = state.failure
            raise named_error(failure.error, failure.message) or MlopsError(failure.message)
        return Outcome.read(state.outcome or {})

    def _poll(self, finish: JsonObject) -> RemoteRun:
        state = _state(self._patiently("GET", ""))
        if state.publication in (None, "interrupted"):  # the server was stopped meanwhile
            return _state(self._patiently("POST", "/finish", json=finish))
        return state

    def _put(self, path: str, content: bytes | Path) -> None:
        if isinstance(content, Path):
            with content.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").digest()
        else:
            digest = hashlib.sha256(content).digest()
        headers = {"Content-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:"}

        def send() -> httpx.Response:
            if isinstance(content, bytes):
                return self._call("PUT", path, content=content, headers=headers)
            with content.open("rb") as stream:
                return self._call("PUT", path, content=stream, headers=headers)

        patiently(send, self._unreachable_seconds)

    def _patiently(
        self, method: str, path: str, json: Mapping[str, object] | None = None
    ) -> httpx.Response:
        return patiently(lambda: self._call(method, path, json), self._unreachable_seconds)

    def _call(
        self,
        method: str,
        path: str,
        json: Mapping[str, object] | None = None,
        content: bytes | IO[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        request = self._client.build_request(
            method, f"{ROUTE}/{self._run_id}{path}", json=json, content=content, headers=headers
        )
        return send_request(self._client, request)


def _state(response: httpx.Response) -> RemoteRun:
    """Return the state of a run from a response.

    Raises:
        SettingsError: the response is of another server.
    """
    try:
        return RemoteRun.model_validate_json(response.content)
    except ValidationError as error:
        raise SettingsError(
            f"{response.url} does not return the state of a run; check that url= is the address of"
            " a server that 'mlops hub' runs"
        ) from error


@contextmanager
def record_over_http(
    url: str,
    token: Token,
    request: ExternalRunRequest,
    gpus: int = 0,
    unreachable_seconds: float = MAX_UNREACHABLE_SECONDS,
) -> Iterator[ExternalRun]:
    """Record a run of this process on a server. See `mlops_assets.external.external_run`.

    Args:
        url: address of the server.
        token: a bearer token that it accepts, or a function that returns one for each request.
        request: the run.
        gpus: number of GPUs whose usage is measured.
        unreachable_seconds: the longest time that the server may be unreachable.
    """
    origin = request.origin
    run_id = request.run_id or str(uuid.uuid4())
    start = {
        "run_id": run_id,
        "model": request.model,
        "data": str(request.data),
        "parameters": request.parameters,
        "seed": request.seed,
        "tags": dict(request.tags),
        "declared": request.declared,
        "trainer": origin.trainer,
        "code": {"version": origin.code_version, "changes": origin.changes},
        "environment": origin.environment,
        "hardware": origin.hardware,
        "host": origin.host,
        "pid": origin.pid,
        "created_by": origin.created_by,
    }
    with open_client(url, token) as client:
        starting = client.build_request("POST", ROUTE, json=start)
        response = patiently(lambda: send_request(client, starting), unreachable_seconds)
        backend = HttpBackend(client, run_id, origin.trainer, unreachable_seconds)
        points = PointWriter(backend, run_id, _state(response).points)
        run = ExternalRun(run_id, request.seed, backend, points)
        with recorded(run, backend, points, gpus):
            yield run


def open_client(url: str, token: Token) -> httpx.Client:
    """Return a client of a server.

    Args:
        url: address of the server.
        token: a bearer token, or a function that returns one for each request.

    Raises:
        SettingsError: it is not a valid URL of a server.
    """
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"url={url!r}: write the address of a server, such as https://HOST")

    def authorize(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {token() if callable(token) else token}"
        return request

    return httpx.Client(
        base_url=f"{url.rstrip('/')}/api/v1/",
        auth=authorize,
        timeout=TIMEOUT,
        verify=trusted_certificates(),
    )


def send_request(client: httpx.Client, request: httpx.Request) -> httpx.Response:
    """Send a request; return the response of a server that accepts it.

    Raises:
        StorageError: the server is unreachable.
        SettingsError: it does not accept the token.
        MlopsError: it refuses the request; of the class that was raised there, with its message.
    """
    try:
        response = client.send(request)
    except httpx.TransportError as error:
        raise StorageError(
            f"{client.base_url} is unreachable: {type(error).__name__}: {error}"
        ) from error
    if response.is_success:
        return response
    try:
        document = response.json()
        detail = str(document["detail"])
        kind = document.get("error")
    except (ValueError, LookupError, TypeError):
        detail = f"{response.status_code} {response.text[:200]}"
        kind = None
    if response.status_code in UNAVAILABLE:
        raise StorageError(f"{client.base_url} is unavailable: {detail}")
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        raise SettingsError(f"{client.base_url} does not accept the token: {detail}")
    message = f"{client.base_url}: {detail}"
    raise named_error(kind, message) or MlopsError(message)


def _without_metrics(facts: RunFacts) -> JsonObject:
    """Return facts without metrics, which the server takes from the points."""
    return {"phases": {**facts.phases}, "usage": {**facts.usage}, "seconds": facts.seconds}
