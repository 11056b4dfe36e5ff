"""Functions that make data of data, and some that misbehave; the tests run them in processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel

from mlops_assets.processing.function import ProcessingInput, ProcessingRun

HERE = __name__


class Thinning(BaseModel):
    """The rows that are kept."""

    every: int = 2


def thin(
    inputs: Sequence[ProcessingInput], output: Path, params: Thinning, run: ProcessingRun
) -> None:
    """Keep every other row of each table."""
    for given in inputs:
        for path in sorted(given.folder.glob("*.csv")):
            print("thinning", path.name)
            header, *rows = path.read_text().splitlines()
            kept = rows[:: params.every]
            name = f"{given.committed.row.dataset}_{path.name}"
            (output / name).write_text("\n".join([header, *kept]) + "\n")
    run.note(f"kept one row in {params.every}")


class Nothing(BaseModel):
    """No parameters."""


def copy(
    inputs: Sequence[ProcessingInput], output: Path, params: Nothing, run: ProcessingRun
) -> None:
    """Write the files of the first input again."""
    shutil.copytree(inputs[0].folder, output, dirs_exist_ok=True)


def count(
    inputs: Sequence[ProcessingInput], output: Path, params: Nothing, run: ProcessingRun
) -> None:
    """Write a table of features of samples, as a trainer would get them, and of their split."""
    (given,) = inputs
    data = given.training_data()
    parts = []
    for split in ("train", "test"):
        X, y = data.arrays(split)
        means = pd.DataFrame({"mean": X.mean(axis=tuple(range(1, X.ndim)))})
        classes = [data.class_names[index] for index in y]
        parts.append(means.assign(split=split, kind=classes))
    pd.concat(parts).to_csv(output / "features.csv", index=False)
    run.note(f"{len(given.samples)} samples of {len(given.files)} files, on {run.device}")


class Conduct(BaseModel):
    """The act of a function."""

    does: Literal[
        "raise",
        "nothing",
        "hide",
        "link out",
        "stray",
        "leak",
        "die",
        "hang",
        "scribble",
        "exit",
        "overwrite",
        "bear",
        "linger",
        "interrupt",
        "ramble",
        "mumble",
    ]


class Mumbled(Exception):
    """An error whose message cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("inaudible")


def behave(
    inputs: Sequence[ProcessingInput], output: Path, params: Conduct, run: ProcessingRun
) -> None:
    """Do something no function should do."""
    (given,) = inputs
    print("about to", params.does, flush=True)
    if params.does == "raise":
        raise ValueError("these fields are fallow")
    if params.does == "hide":
        (output / ".table.csv").write_text("a,crop\n")
    if params.does == "link out":
        (output / "table.csv").symlink_to(given.folder / "samples.csv")
    if params.does == "stray":
        (output.parent / "table.csv").write_text("a,crop\n")
    if params.does == "scribble":
        (output / "table.csv").write_text("a,b\n1,2\n")
    if params.does == "overwrite":
        for path in given.folder.iterdir():
            path.chmod(0o644)
            path.write_text("a,crop\n")
    if params.does == "leak":
        held = []
        while True:
            held.append(np.ones(10_000_000))  # 80 MB
            time.sleep(0.05)
    if params.does == "die":
        os.kill(os.getpid(), 9)
    if params.does == "exit":
        raise SystemExit("no fields today")
    if params.does == "interrupt":
        raise KeyboardInterrupt("the farmer")
    if params.does == "ramble":
        raise ValueError("blah " * 1_000_000)
    if params.does == "mumble":
        raise Mumbled
    if params.does == "bear":
        copy(inputs, output, Nothing(), run)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        run.note(f"child {child.pid}, \udcff {'n' * 5000}")
    if params.does == "linger":
        copy(inputs, output, Nothing(), run)
        threading.Thread(target=time.sleep, args=(600,)).start()
    if params.does == "hang":
        unfinished = run.directory / "begun.part"
        unfinished.write_text(str(os.getpid()))
        unfinished.rename(run.directory / "begun")
        time.sleep(600)
