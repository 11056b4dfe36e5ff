"""Trees boosted by LightGBM, for rows, pixels and flattened patches; missing values may be NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import Field

from mlops_assets.errors import TrainerError
from mlops_assets.extras import needs
from mlops_assets.training.trainers.boosting import BoostingParams, objective, row_arrays

if TYPE_CHECKING:
    import lightgbm
    import numpy as np
    from numpy.typing import NDArray

    from mlops_assets.datasets.loading.training_data import TrainingData
    from mlops_assets.training.run import TrainingRun

FRAMEWORK = "lightgbm"
OBJECTIVES = ("binary", "multiclass", "regression")


class Params(BoostingParams):
    """Parameters of `train`; every further one is one of LightGBM, such as lambda_l2."""

    num_leaves: int = Field(default=31, ge=2, le=131072, description="Most leaves of a tree.")
    min_data_in_leaf: int = Field(default=20, ge=0, description="Fewest samples in a leaf.")
    bagging_fraction: float = Field(
        default=1.0, gt=0, le=1, description="Share of samples that a tree is fitted to."
    )
    feature_fraction: float = Field(
        default=1.0, gt=0, le=1, description="Share of features that a tree is fitted to."
    )


def train(data: TrainingData, params: Params, run: TrainingRun) -> lightgbm.Booster:
    """Boost trees on the training split, up to the round of the lowest validation loss.

    Trees are made on the CPU: LightGBM as packaged has no CUDA. A run that is resumed starts from
    the beginning, as LightGBM rounds differently when it continues from a model.

    Args:
        data: rows, pixels, patches or images; the latter two are flattened.
        params: parameters of the trainer, and further ones of LightGBM.
        run: the run that it belongs to.

    Returns:
        The trees.

    Raises:
        MissingExtra: LightGBM is not installed.
        TrainerError: parameters that LightGBM refuses, or that do not suit the data.
        ExportError: parameters of models that cannot be exported.
    """
    from mlops_assets.models.export.rehearsal import rehearse

    with needs("lightgbm", "the trainer lightgbm"):
        import lightgbm
    given = params.model_extra or {}
    settings = {
        "num_leaves": params.num_leaves,
        "min_data_in_leaf": params.min_data_in_leaf,
        "bagging_fraction": params.bagging_fraction,
        "bagging_freq": int(params.bagging_fraction < 1),
        "feature_fraction": params.feature_fraction,
        "learning_rate": params.learning_rate,
        "seed": run.seed % 2**31,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        **given,
        **objective(data, given, OBJECTIVES),
    }
    known = lightgbm.basic._ConfigAliases._get_all_param_aliases()
    unknown = sorted(
        given.keys() - known.keys() - {alias for aliases in known.values() for alias in aliases}
    )
    if unknown:
        raise TrainerError(
            f"LightGBM has no use for the parameters {', '.join(unknown)}; leave them out"
        )
    with run.phase("data"):
        arrays = row_arrays(data, params)
        splits = {"train": lightgbm.Dataset(arrays.samples, arrays.labels, weight=arrays.weights)}
        if len(arrays.validation_samples):
            splits["validation"] = lightgbm.Dataset(
                arrays.validation_samples, arrays.validation_labels, reference=splits["train"]
            )

    def log(env: lightgbm.callback.CallbackEnv) -> None:
        found: dict[str, float] = {}
        for split, _, value, *_ in env.evaluation_result_list or []:
            found.setdefault(f"{split}_loss", float(value))
        run.log(found, step=env.iteration)

    callbacks: list[Callable[[lightgbm.callback.CallbackEnv], None]] = [log]
    if params.patience and len(arrays.validation_samples):
        callbacks.append(
            lightgbm.early_stopping(params.patience, first_metric_only=True, verbose=False)
        )

    def few_trees(rows: NDArray[np.float32], labels: NDArray[np.generic]) -> lightgbm.Booster:
        return lightgbm.train(settings, lightgbm.Dataset(rows, labels), 2)

    try:
        with run.phase("rehearsal"):
            rehearse(few_trees, data, arrays.samples, arrays.labels, "lightgbm")
        return lightgbm.train(
            settings,
            splits["train"],
            params.rounds,
            valid_sets=list(splits.values()),
            valid_names=list(splits),
            callbacks=callbacks,
        )
    except lightgbm.basic.LightGBMError as error:
        raise TrainerError(f"LightGBM refuses to train: {error}") from error
