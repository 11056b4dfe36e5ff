"""A map whose process ends by SIGKILL before one of its files is written to the workspace.

Called as `python -m mlops_assets_tests.prediction.killed FOLDER FILE`; 0: never.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from unittest.mock import patch

from mlops_assets.prediction import plan, predict
from mlops_assets.prediction.mapped import Options
from mlops_assets.prediction.predict import make_map
from mlops_assets.prediction.writing import write_part
from mlops_assets.storage import FileStat, Workspace
from mlops_assets_tests.prediction.jobs import job_of
from mlops_assets_tests.prediction.networks import opened, row_of

OUTPUTS = Options(("class", "confidence"))


def main() -> None:
    """Make the map, and print how many parts were predicted."""
    folder, file = Path(sys.argv[1]), int(sys.argv[2])
    put = Workspace.put
    files = parts = 0

    def counted(self: Workspace, key: str, content: bytes | Path) -> FileStat:
        nonlocal files
        files += 1
        if files == file:
            os.kill(os.getpid(), signal.SIGKILL)
        return put(self, key, content)

    def predicted(*args: object) -> object:
        nonlocal parts
        parts += 1
        return write_part(*args)  # type: ignore[arg-type]

    store = opened(folder)
    job = job_of(row_of(store), folder / "scene.tif", "map", OUTPUTS)
    with (
        patch.object(Workspace, "put", counted),
        patch.object(predict, "write_part", predicted),
        # a strip is a part
        patch.object(plan, "MIN_MEASURED_PIXELS", 0),
        patch.object(plan, "PART_SECONDS", 0.0),
    ):
        make_map(store, job)
    print(parts)


if __name__ == "__main__":
    main()
