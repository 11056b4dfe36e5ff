"""Trees boosted by XGBoost, for rows, pixels and flattened patches; missing values may be NaN."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from mlops_assets.errors import TrainerError
from mlops_assets.extras import needs
from mlops_assets.training.trainers.boosting import BoostingParams, objective, row_arrays

if TYPE_CHECKING:
    import xgboost

    from mlops_assets.datasets.loading.training_data import TrainingData
    from mlops_assets.training.run import TrainingRun

FRAMEWORK = "xgboost"
OBJECTIVES = ("binary:logistic", "multi:softprob", "reg:squarederror")


class Params(BoostingParams):
    """Parameters of `train`; every further one is one of XGBoost, such as min_child_weight."""

    max_depth: int = Field(default=6, ge=1, le=30, description="Largest depth of a tree.")
    subsample: float = Field(
        default=1.0, gt=0, le=1, description="Share of samples that a tree is fitted to."
    )
    colsample_bytree: float = Field(
        default=1.0, gt=0, le=1, description="Share of features that a tree is fitted to."
    )
    checkpoint_every: int = Field(default=50, ge=1, description="Rounds between checkpoints.")


def train(data: TrainingData, params: Params, run: TrainingRun) -> xgboost.Booster:
    """Boost trees on the training split, up to the round of the lowest validation loss.

    Args:
        data: rows, pixels, patches or images; the latter two are flattened.
        params: parameters of the trainer, and further ones of XGBoost.
        run: the run that it belongs to.

    Returns:
        The trees.

    Raises:
        MissingExtra: XGBoost is not installed.
        TrainerError: parameters that XGBoost refuses, or that do not suit the data.
        ExportError: parameters of models that cannot be exported.
    """
    from mlops_assets.models.export.rehearsal import rehearse

    with needs("xgboost", "the trainer xgboost"):
        import xgboost
    with run.phase("data"):
        arrays = row_arrays(data, params)
        splits = [(xgboost.DMatrix(arrays.samples, arrays.labels, weight=arrays.weights), "train")]
        if len(arrays.validation_samples):
            validation = xgboost.DMatrix(arrays.validation_samples, arrays.validation_labels)
            splits.append((validation, "validation"))
    given = params.model_extra or {}
    settings = {
        "max_depth": params.max_depth,
        "subsample": params.subsample,
        "colsample_bytree": params.colsample_bytree,
        "learning_rate": params.learning_rate,
        "seed": run.seed % 2**31,
        "device": run.device,
        # so that a resumed run draws what an uninterrupted one does
        "seed_per_iteration": True,
        "validate_parameters": True,
        **given,
        **objective(data, given, OBJECTIVES),
    }
    matrices = [matrix for matrix, _ in splits]
    with run.phase("rehearsal"):
        rehearse(
            lambda few, labels: xgboost.train(settings, xgboost.DMatrix(few, labels), 2),
            data,
            arrays.samples,
            arrays.labels,
            "xgboost",
        )
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            found = run.restore()
            losses: list[float] = list(found.state["losses"]) if found else []
            booster = _booster(settings, matrices, found.state["model"] if found else None)
            for number in range(len(losses), params.rounds):
                if params.patience and _waited(losses) >= params.patience:
                    break
                booster.update(matrices[0], number)
                _require_used(warned)
                metrics = _losses(booster.eval_set(splits, number))
                run.log(metrics, step=number)
                # without one the last round is the best
                losses.append(metrics.get("validation_loss", -float(number)))
                if (number + 1) % params.checkpoint_every == 0:
                    model = bytes(booster.save_raw("ubj"))
                    run.checkpoint({"model": model, "losses": list(losses)}, step=number)
                    booster = _booster(settings, matrices, model)
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise TrainerError(f"XGBoost refuses to train: {str(error).splitlines()[0]}") from error
    return booster[: int(np.argmin(losses)) + 1]


def _booster(
    settings: dict[str, object], matrices: list[xgboost.DMatrix], model: bytes | None
) -> xgboost.Booster:
    """Return a booster that starts, or continues from a model.

    Its random draws depend on when it was made, so an uninterrupted run, too, continues from a new
    booster after each checkpoint.
    """
    import xgboost

    booster = xgboost.Booster(settings, matrices)
    if model is not None:
        booster.load_model(bytearray(model))
        booster.set_param(settings)
    return booster


def _waited(losses: list[float]) -> int:
    """Return the number of rounds since the lowest loss."""
    return len(losses) - 1 - int(np.argmin(losses)) if losses else 0


def _losses(line: str) -> dict[str, float]:
    """Return the losses of a line that XGBoost prints.

    Such a line is `[0]  train-mlogloss:1.09  validation-mlogloss:1.1`, with tabs between.
    """
    found = (part.rpartition(":") for part in line.split("\t")[1:])
    return {f"{name.partition('-')[0]}_loss": float(value) for name, _, value in found}


def _require_used(warned: list[warnings.WarningMessage]) -> None:
    for warning in warned:
        unused = re.search(r"Parameters: \{ (.*) \} are not used", str(warning.message))
        if unused:
            raise TrainerError(f"XGBoost has no use for the parameters {unused[1]}; leave them out")
