"""Submissions of the jobs that several commands run, each with its op's config."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_assets.orchestration.submission import Submission


def landing(dataset: str, config: Mapping[str, object]) -> Submission:
    """Return the commit of what has landed of a dataset."""
    return Submission(f"{dataset}_landing", ops={f"{dataset}__landing": {"config": dict(config)}})


def production(model: str, config: Mapping[str, object]) -> Submission:
    """Return the move of an alias of a model."""
    return Submission(f"{model}/production", ops={f"{model}__production": {"config": dict(config)}})
