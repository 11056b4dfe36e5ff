"""Reports of a run to a server of `mlops hub`, from a machine that reaches nothing else of ours.

What cannot be sent because the server is unreachable is kept and sent again. What a caller sees is
`ExternalRun`, as here.
"""

from __future__ import annotations

import base64
import hashlib
import io
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from mlops_assets import errors
from mlops_assets.errors import MlopsError, SettingsError, StorageError
from mlops_assets.integrations.external.external_run import ExternalRun, recorded
from mlops_assets.integrations.external.origin import Origin
from mlops_assets.integrations.external.recording import NativeMade, OnnxMade
from mlops_assets.models.frameworks import framework_of
from mlops_assets.models.lifecycle import Outcome
from mlops_assets.registry.patience import AWAY_SECONDS, patiently
from mlops_assets.registry.runs import LoggedPoint, RunFacts
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.training.metric_writer import PointWriter

POINTS_AT_ONCE = 10_000
ASKED_EVERY = 2.0  # seconds, while a model is being published
TIMEOUT = httpx.Timeout(30.0, read=120.0, write=120.0)
AWAY = (502, 503, 504)
Token = str | Callable[[], str]


class There:
    """Records a run on a server."""

    def __init__(
        self, client: httpx.Client, run_id: str, trainer: str, away_seconds: float
    ) -> None:
        """Record a run; `away_seconds` is how long the server may be away."""
        self._client, self._run_id, self._trainer, self._away = (
            client,
            run_id,
            trainer,
            away_seconds,
        )
        self._refused: MlopsError | None = None

    def log(self, run_id: str, points: Sequence[LoggedPoint]) -> None:
        """Send points.

        Raises:
            StorageError: the server is unreachable; the same points may be given again.
        """
        for start in range(0, len(points), POINTS_AT_ONCE):
            try:
                self._call(
                    "POST", "/points", json={"points": points[start : start + POINTS_AT_ONCE]}
                )
            except StorageError:
                raise
            except MlopsError as error:  # the server does not want them, and will not
                self._refused = error
                return

    def samples(self) -> NDArray[np.float32]:
        """Return the samples of the parity check, raw."""
        content = self._patiently("GET", "/samples").content
        X: NDArray[np.float32] = np.load(io.BytesIO(content), allow_pickle=False)
        return X

    def end(self, status: str, error: str | None, facts: RunFacts) -> None:
        """Record that the run ended without a model."""
        self._patiently("POST", "/finish", json={"status": status, "error": error, **_said(facts)})

    def publish(
        self,
        made: NativeMade | OnnxMade,
        figures: Mapping[str, bytes],
        facts: RunFacts,
        points: int,
    ) -> Outcome:
        """Send the model, and wait until what follows is done.

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
            finish = {
                "status": "succeeded",
                "framework": framework,
                "points": points,
                **_said(facts),
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

    def _wait(self, finish: dict[str, Any]) -> Outcome:
        document = self._patiently("POST", "/finish", json=finish).json()
        wait = 0.05
        while document["publication"] != "done":
            time.sleep(wait)
            wait = min(ASKED_EVERY, 2 * wait)
            document = self._patiently("GET", "").json()
            if document["publication"] in (None, "interrupted"):  # the server was stopped meanwhile
                document = self._patiently("POST", "/finish", json=finish).json()
        if "outcome" not in document:
            raise _error(document["failure"]["error"], document["failure"]["message"])
        return Outcome.read(document["outcome"])

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

        patiently(send, self._away)

    def _patiently(self, method: str, path: str, **request: Any) -> httpx.Response:
        return patiently(lambda: self._call(method, path, **request), self._away)

    def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        return call(self._client, method, f"runs/{self._run_id}{path}", **request)


@contextmanager
def run_there(
    url: str,
    token: Token,
    model: str,
    data: str,
    parameters: Mapping[str, Any],
    seed: int,
    origin: Origin,
    run_id: str | None,
    tags: Mapping[str, str],
    gpus: int,
    declared: Mapping[str, Any],
    away_seconds: float = AWAY_SECONDS,
) -> Iterator[ExternalRun]:
    """Record a run of this process on a server. See `mlops_assets.external.external_run`."""
    run_id = run_id or str(uuid.uuid4())
    start = {
        "run_id": run_id,
        "model": model,
        "data": data,
        "parameters": dict(parameters),
        "seed": seed,
        "tags": dict(tags),
        "declared": dict(declared),
        "trainer": origin.trainer,
        "code": {"version": origin.code_version, "changes": origin.changes},
        "environment": origin.environment,
        "hardware": origin.hardware,
        "host": origin.host,
        "pid": origin.pid,
        "created_by": origin.created_by,
    }
    with open_client(url, token) as client:
        document = patiently(lambda: call(client, "POST", "runs", json=start), away_seconds).json()
        backend = There(client, run_id, origin.trainer, away_seconds)
        points = PointWriter(backend, run_id, document["points"])
        with recorded(ExternalRun(run_id, seed, backend, points), backend, points, gpus) as run:
            yield run


def open_client(url: str, token: Token) -> httpx.Client:
    """Return a client of a server, which shows a token, or what a function gives for each request.

    Raises:
        SettingsError: it is not a valid URL of a server.
    """
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"url={url!r}: write the address of a server, such as https://HOST")

    def show(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {token() if callable(token) else token}"
        return request

    return httpx.Client(base_url=f"{url.rstrip('/')}/api/v1/", auth=show, timeout=TIMEOUT)


def call(client: httpx.Client, method: str, path: str, **request: Any) -> httpx.Response:
    """Ask a server for something.

    Raises:
        StorageError: it is unreachable.
        SettingsError: it does not accept the token.
        MlopsError: it refuses, in its own words; of the same kind as where it was raised.
    """
    try:
        response = client.request(method, path, **request)
    except httpx.TransportError as error:
        raise StorageError(
            f"{client.base_url} is unreachable: {type(error).__name__}: {error}"
        ) from error
    if response.is_success:
        return response
    try:
        document = response.json()
        detail, kind = str(document["detail"]), document.get("error")
    except (ValueError, LookupError, TypeError):
        detail, kind = f"{response.status_code} {response.text[:200]}", None
    if response.status_code in AWAY:
        raise StorageError(f"{client.base_url} cannot just now: {detail}")
    if response.status_code == 401:
        raise SettingsError(f"{client.base_url} does not accept the token: {detail}")
    raise _error(kind, f"{client.base_url}: {detail}")


def _error(kind: str | None, message: str) -> MlopsError:
    found = getattr(errors, kind or "", None)
    known = (
        isinstance(found, type)
        and issubclass(found, MlopsError)
        and found is not errors.DataProblems
    )
    error: MlopsError = found(message) if known else MlopsError(message)  # type: ignore[misc]
    return error


def _said(facts: RunFacts) -> dict[str, Any]:
    """Return facts without metrics: the server has every point."""
    return {"phases": facts.phases, "usage": facts.usage, "seconds": facts.seconds}
