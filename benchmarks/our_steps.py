"""Our steps in a fresh process.

`python -m benchmarks.our_steps STEP=FOLDER …`, with the workspace of the environment.

`commit` commits a landing of images in a folder a class; `recall` writes the newest version back,
`recall_copy` without links to the workspace.
"""

from __future__ import annotations

import sys
from pathlib import Path

# loaded before the clock starts, as everything that the steps would import
import pyarrow.dataset
import pyarrow.pandas_compat  # noqa: F401

from benchmarks.measured import Steps
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.readers import image_folder  # noqa: F401
from mlops_assets.datasets.recall.recall import recall
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.registry import open_registry
from mlops_assets.settings import Settings
from mlops_assets.storage import Workspace

DATASET = "chips"


def main(*steps: str) -> None:
    """Take the steps one after the other; opening workspace and registry counts as part of each."""
    settings = Settings.from_environment()
    taken = Steps()
    files = 0
    for step in steps:
        verb, where = step.split("=", 1)
        with taken.step(verb):
            workspace = Workspace(settings.workspace, settings.cache, settings.pack_below)
            registry = open_registry(settings.registry)
            if verb == "commit":
                source = {"url": where, "layout": "image_folder"}
                specification = DatasetSpecification.model_validate(
                    {"name": DATASET, "source": source}
                )
                files = commit(workspace, registry, specification).version.files
            else:
                committed = CommittedDataset.open(workspace, registry, Reference(DATASET))
                files = recall(committed, Path(where), copy=verb == "recall_copy").files
    taken.report(files=files)


if __name__ == "__main__":
    main(*sys.argv[1:])
