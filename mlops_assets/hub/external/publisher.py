"""Publication of uploaded models, in a process of its own.

The process is `python -m mlops_assets.hub.external.publisher REQUEST`.

Native code reads uploaded files here: a file that crashes it ends this process, and not the server.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil

from mlops_assets.components.events.reporting import DagsterReporter
from mlops_assets.errors import ExportError, MlopsError
from mlops_assets.hub.external.uploads import NATIVE, Staging
from mlops_assets.integrations.external.recording import NativeMade, OnnxMade, end, external
from mlops_assets.integrations.external.registry_backend import publish_or_record_failure
from mlops_assets.models.frameworks import framework_named
from mlops_assets.models.frameworks.architectures import Trust
from mlops_assets.models.lifecycle import complete
from mlops_assets.names import Reference
from mlops_assets.registry import Run
from mlops_assets.registry.runs import NO_FACTS, RunFacts
from mlops_assets.settings import parent_settings
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted
from mlops_assets.training.process.child_process import (
    ChildRequest,
    read_request,
    start_child,
    wait_for,
    write_request,
)

OUTCOME = "outcome"
FINISH = "finish"
MAX_SECONDS = 3600.0

log = logging.getLogger(__name__)


class Job(ChildRequest):
    """A run to be published, and the folder of its uploads."""

    dagster_home: Path
    folder: Path
    run_id: str


def publish_sent(job: Job) -> None:
    """Publish the uploaded model of a run, and complete the stages that follow.

    The outcome is written beside the uploads.
    """
    store = job.open_store()
    staging = Staging(job.folder)
    run = external(store.registry, job.run_id)
    finish = staging.read(FINISH)
    facts = RunFacts(metrics=_last_values(store, run), **finish["facts"])
    try:
        specification = staging.specification()
        reporter = DagsterReporter(store, specification, job.dagster_home)
        if run.model_version is not None:  # published before, but what follows was not done
            row = store.registry.model_version(Reference(run.model, run.model_version))
            outcome = complete(store, specification, row, reporter)
        else:
            try:
                made = _made(staging, finish["framework"], specification.architectures)
            except MlopsError as error:
                end(store, run.run_id, "failed", str(error), facts)
                raise
            except Exception as error:  # of a framework that reads an unknown file
                end(store, run.run_id, "failed", traceback.format_exc(), facts)
                raise ExportError(
                    f"the model cannot be read: {type(error).__name__}: {error}"
                ) from error
            figures = {path.stem: path.read_bytes() for path in staging.files("figures").values()}
            row = publish_or_record_failure(store, specification, run, made, figures, facts)
            outcome = complete(store, specification, row, reporter)
    except MlopsError as error:
        staging.write(
            OUTCOME, {"failure": {"error": type(error).__name__, "message": redacted(str(error))}}
        )
    else:
        staging.write(OUTCOME, {"outcome": outcome.document()})
    staging.clear()


def publish_apart(job: Job) -> None:
    """Run `publish_sent` in another process.

    If it exits unexpectedly without an outcome, the failure is written as one.
    """
    staging = Staging(job.folder)
    environment = {**os.environ, **parent_settings(job.registry)}
    deadline = time.monotonic() + MAX_SECONDS

    def check() -> str | None:
        return f"took more than {MAX_SECONDS:g} seconds" if time.monotonic() > deadline else None

    with scratch_folder("publish") as folder, (folder / "log.txt").open("w+b") as output:
        request = write_request(folder, job)
        child = start_child(["-m", __name__, str(request)], environment, output)
        ended = wait_for(child, check) or f"ended with {child.returncode} and no message"
        printed = (folder / "log.txt").read_text(errors="replace").strip()
    if staging.read(OUTCOME) is None:
        message = redacted(f"the process that published the model {ended}: {printed[-2000:]}")
        store = job.open_store()
        if external(store.registry, job.run_id).status == "running":
            end(store, job.run_id, "failed", message, NO_FACTS)
        staging.write(OUTCOME, {"failure": {"error": "ExportError", "message": message}})


class Finisher:
    """Publishes one run after the other."""

    def __init__(self, publish: Callable[[Job], None]) -> None:
        """Publish runs by calling `publish`."""
        self._publish = publish
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="finishing")
        self._futures: dict[str, Future[None]] = {}
        self._lock = threading.Lock()

    def submit(self, job: Job) -> None:
        """Publish a run, unless it waits or is being published."""
        with self._lock:
            if not self.busy(job.run_id):
                Staging(job.folder).forget(OUTCOME)
                future = self._futures[job.run_id] = self._pool.submit(self._publish, job)
                future.add_done_callback(_log_failure)

    def busy(self, run_id: str) -> bool:
        """Return whether a run waits to be published or is being published."""
        future = self._futures.get(run_id)
        return future is not None and not future.done()

    def close(self) -> None:
        """Wait for the run that is being published; waiting ones are to be finished again."""
        self._pool.shutdown(cancel_futures=True)


def _made(
    staging: Staging, framework: str | None, architectures: Sequence[str]
) -> NativeMade | OnnxMade:
    if framework is None:
        outputs = {
            path.stem: np.load(path, allow_pickle=False, mmap_mode="r")
            for path in staging.files("outputs").values()
        }
        return OnnxMade(staging.onnx, outputs)
    trust = Trust(architectures, imported=False)
    return NativeMade(framework_named(framework).load(staging.folder / NATIVE, trust))


def _last_values(store: Store, run: Run) -> dict[str, float]:
    return {name: points[-1][1] for name, points in store.registry.series(run.run_id).items()}


def _limit_memory() -> None:
    """Limit this process to half of the machine's memory.

    A model that asks for more ends this process, and not others.
    """
    limit = psutil.virtual_memory().total // 2
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _log_failure(future: Future[None]) -> None:
    if not future.cancelled() and future.exception() is not None:
        log.error("a run could not be published", exc_info=future.exception())


if __name__ == "__main__":
    _limit_memory()
    publish_sent(read_request(Path(sys.argv[1]), Job))
