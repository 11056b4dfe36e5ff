"""Which data versions suit a task."""

from __future__ import annotations

import pandas as pd

from mlops_assets.datasets.readers import View
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import SpecificationError


def require_task_fits(committed: CommittedDataset, task: str, kind: View) -> None:
    """Refuse a task that the samples or labels of a data version do not fit.

    Raises:
        SpecificationError: they do not.
    """
    if task == "regression" and kind == "window":
        raise SpecificationError(
            "regression over windows is not supported; read the scenes as patches"
        )
    if (task == "semantic-segmentation") != (kind == "window"):
        raise SpecificationError(
            f"task {task!r} does not go with samples read as {kind}; see 'scenes: {{read: …}}'"
        )
    if (
        task == "regression"
        and pd.to_numeric(committed.samples["label"], errors="coerce").isna().any()
    ):
        raise SpecificationError(
            f"labels of {committed.reference} are names, not numbers; use task 'classification'"
        )
    if task != "regression" and committed.classes is None:
        raise SpecificationError(
            f"the label of {committed.reference} is a number; use task 'regression'"
        )
