"""Drift as Evidently measures it, in an environment of its own.

`python drift_peer.py FOLDER METHOD` reads `reference.npy` and `day.npy` and prints CPU-seconds and
the score of the first column.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset


def main(folder: Path, method: str) -> None:
    """Compare all columns by one method."""
    warnings.simplefilter("ignore")
    frames = [pd.DataFrame(np.load(folder / f"{name}.npy")) for name in ("day", "reference")]
    names = [f"feature_{place}" for place in range(frames[0].shape[1])]
    definition = DataDefinition(numerical_columns=names)
    day, reference = (
        Dataset.from_pandas(frame.set_axis(names, axis=1), data_definition=definition)
        for frame in frames
    )
    started = time.process_time()
    report = Report([DataDriftPreset(num_method=method)])
    found = report.run(day, reference).dict()
    seconds = time.process_time() - started
    score = next(
        own["value"] for own in found["metrics"] if own["metric_name"].startswith("ValueDrift")
    )
    version = f"Evidently {importlib.metadata.version('evidently')}"
    print(json.dumps({"seconds": seconds, "score": float(score), "version": version}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
