"""Distances to the nearest reference as seapig has them, in an environment of its own.

`python applicability_peer.py points.npz` writes `distances.npy` beside it.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
from seapig.scores import EuclideanScore


def main(path: Path) -> None:
    """Compare every point with the references."""
    import torch

    given = np.load(path)
    score = EuclideanScore(k=1)
    score.fit(ref=torch.from_numpy(given["references"]))
    found = score.score(query=torch.from_numpy(given["points"]))
    np.save(path.with_name("distances.npy"), np.asarray(found).ravel())
    print(json.dumps({"version": f"seapig {importlib.metadata.version('seapig')}"}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
