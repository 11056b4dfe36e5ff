"""The assessment of a data version that the hub has had committed.

Its partition exists once the commit has succeeded, so that one run cannot do both.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import dagster as dg

from mlops_assets.errors import MlopsError

POLL_SECONDS = 1.0
# of a commit; later versions are assessed by the sensor, or by 'mlops dataset assess'
MAX_SECONDS = 24 * 3600.0
_VERSION = "data_version"

log = logging.getLogger(__name__)


def assess_once_committed(
    instance: dg.DagsterInstance, run_id: str, assess: Callable[[str], object]
) -> threading.Thread:
    """Launch the assessment of what a run commits, in a thread that waits for its end.

    Args:
        instance: has the run.
        run_id: of the Dagster run that commits.
        assess: launches the assessment of a version.

    Returns:
        The thread, which has begun.
    """

    def wait() -> None:
        deadline = time.monotonic() + MAX_SECONDS
        while time.monotonic() < deadline:
            run = instance.get_run_by_id(run_id)
            if run is None or (run.is_finished and not run.is_success):
                return
            if run.is_finished:
                version = committed_version(instance, run_id)
                if version is not None:
                    try:
                        assess(version)
                    except MlopsError as error:
                        log.warning("%s was committed, but is not assessed: %s", version, error)
                return
            time.sleep(POLL_SECONDS)

    waiting = threading.Thread(target=wait, name=f"assessment after {run_id[:8]}", daemon=True)
    waiting.start()
    return waiting


def committed_version(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """Return the data version that a run has committed, or found unchanged; None if none."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    for entry in instance.all_logs(run_id, of_type=kind):
        made = entry.asset_materialization
        if made is not None and _VERSION in made.metadata:
            return str(made.metadata[_VERSION].value)
    return None
