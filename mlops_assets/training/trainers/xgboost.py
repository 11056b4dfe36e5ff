"""Trees boosted by XGBoost, for rows, pixels and flattened patches; missing values may be NaN."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from mlops_assets.errors import TrainerError
from mlops_assets.training.extras import needs
from mlops_assets.training.trainers.boosting import BoostingParams, objective, rows

if TYPE_CHECKING:
    import xgboost

    from mlops_assets.datasets.training_data import TrainingData
    from mlops_assets.training.run import TrainingRun

OBJECTIVES = ("binary:logistic", "multi:softprob", "reg:squarederror")


class Params(BoostingParams):
    """Parameters of `train`; every further one is one of XGBoost, such as min_child_weight."""

    max_depth: int = Field(default=6, ge=1, le=30, description="Largest depth of a tree.")
    subsample: float = Field(default=1.0, gt=0, le=1, description="Share of samples that a tree is made of.")
    colsample_bytree: float = Field(default=1.0, gt=0, le=1, description="Share of features that a tree is made of.")
    checkpoint_every: int = Field(default=50, ge=1, description="Rounds between checkpoints.")


def train(data: TrainingData, params: Params, run: TrainingRun) -> xgboost.Booster:
    """Boost trees on the training split, up to the round of the lowest validation loss.

    Raises:
        MissingExtra: XGBoost is not installed.
        TrainerError: parameters that XGBoost refuses, or that do not suit the data.
    """
    with needs("xgboost", "the trainer xgboost"):
        import xgboost
    with run.phase("data"):
        X, y, weights, held_X, held_y = rows(data, params)
        splits = [(xgboost.DMatrix(X, y, weight=weights), "train")]
        if len(held_X):
            splits.append((xgboost.DMatrix(held_X, held_y), "validation"))
    given = params.model_extra or {}
    settings = {
        "max_depth": params.max_depth, "subsample": params.subsample, "colsample_bytree": params.colsample_bytree,
        "learning_rate": params.learning_rate, "seed": int(np.uint32(run.seed) >> 1), "device": run.device,
        "seed_per_iteration": True,  # so that a resumed run draws what an uninterrupted one does
        "validate_parameters": True, **given, **objective(data, given, OBJECTIVES),
    }  # fmt: skip
    found = run.restore()
    earlier = found.state if found else {"losses": [], "model": None}
    losses: list[float] = list(earlier["losses"])
    booster = None if found is None else xgboost.Booster(model_file=bytearray(earlier["model"]))
    done = len(losses)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        follows = _Follows(run, losses, params, said)
        try:
            if not follows.stopped and done < params.rounds:
                booster = xgboost.train(
                    settings, splits[0][0], params.rounds - done, evals=splits, xgb_model=booster, verbose_eval=False,
                    callbacks=[follows.callback()],
                )  # fmt: skip
        except (xgboost.core.XGBoostError, ValueError) as error:
            raise TrainerError(f"XGBoost refuses to train: {str(error).splitlines()[0]}") from error
    assert booster is not None
    return booster[: int(np.argmin(losses)) + 1] if len(splits) > 1 else booster


class _Follows:
    """Logs each round, keeps checkpoints, and says when to stop; XGBoost's own early stopping forgets on resuming."""

    def __init__(self, run: TrainingRun, losses: list[float], params: Params, said: list[Any]) -> None:
        self._run, self._losses, self._params, self._said = run, losses, params, said

    @property
    def stopped(self) -> bool:
        """Whether so many rounds as `patience` have gone by without a lower loss."""
        waited = len(self._losses) - 1 - int(np.argmin(self._losses)) if self._losses else 0
        return 0 < self._params.patience <= waited

    def callback(self) -> Any:
        """Return what XGBoost calls after each round."""
        import xgboost

        follows = self

        class Callback(xgboost.callback.TrainingCallback):  # type: ignore[misc]
            def after_iteration(self, model: Any, epoch: int, evals_log: dict[str, Any]) -> bool:
                latest = {name: next(reversed(found.values()))[-1] for name, found in evals_log.items()}
                return follows.after_round(model, {f"{name}_loss": float(loss) for name, loss in latest.items()})

        return Callback()

    def after_round(self, model: xgboost.Booster, metrics: dict[str, float]) -> bool:
        """Take note of a round; return whether to stop."""
        for warning in self._said:
            unused = re.search(r"Parameters: \{ (.*) \} are not used", str(warning.message))
            if unused:
                raise TrainerError(f"XGBoost has no use for the parameters {unused[1]}; leave them out")
        step = len(self._losses)
        self._run.log(metrics, step=step)
        watched = "validation_loss" in metrics
        self._losses.append(metrics["validation_loss"] if watched else -float(step))
        if (step + 1) % self._params.checkpoint_every == 0:
            self._run.checkpoint({"model": bytes(model.save_raw("ubj")), "losses": list(self._losses)}, step=step)
        return self.stopped
