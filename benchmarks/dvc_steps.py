"""Steps of DVC in a process of its own environment.

`python -m benchmarks.dvc_steps REPOSITORY STEP …`.

Imports neither mlops_assets nor anything else that DVC's environment has not.
"""

from __future__ import annotations

import sys

# loaded before the clock starts, as is everything that DVC would import while it works
import dvc_s3  # noqa: F401
import s3fs  # noqa: F401
from dvc.cli import parse_args  # noqa: F401 - loads all commands
from dvc.repo import Repo

from benchmarks.measured import Steps

DATA = "data"


def main(folder: str, *steps: str) -> None:
    """Take the steps one after the other in one open repository: add, push, fetch, checkout."""
    taken = Steps()
    with Repo(folder) as repo:
        for step in steps:
            with taken.step(step):
                if step == "add":
                    repo.add(f"{folder}/{DATA}")
                else:
                    getattr(repo, step)()
    taken.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
