"""Tiny LightGBM models for the contract suite, and such as it must refuse.

Samples have missing values.
"""

from __future__ import annotations

from typing import Any

import lightgbm

from mlops_assets_tests.models.frameworks.models import with_gaps
from mlops_assets_tests.training.example_trainers import samples

SMALL: dict[str, Any] = {"num_leaves": 6, "min_data_in_leaf": 3, "verbosity": -1}


def trained(X: Any, y: Any, rounds: int = 5, **params: Any) -> lightgbm.Booster:
    return lightgbm.train({**SMALL, **params}, lightgbm.Dataset(with_gaps(X), y), rounds)


def booster(X: Any, y: Any) -> lightgbm.Booster:
    return trained(X, y, objective="multiclass", num_class=3)


def wrapper(X: Any, y: Any) -> lightgbm.LGBMClassifier:
    """Stopped early."""
    rows, wrong = with_gaps(X), (y + 1) % 3
    model = lightgbm.LGBMClassifier(n_estimators=20, **SMALL)
    model.fit(
        rows, y, eval_X=rows, eval_y=wrong, callbacks=[lightgbm.early_stopping(3, verbose=False)]
    )
    assert model.best_iteration_ < 20
    return model


def wrapper_of_two_classes(X: Any, y: Any) -> lightgbm.LGBMClassifier:
    return lightgbm.LGBMClassifier(n_estimators=5, **SMALL).fit(with_gaps(X), y % 2)


def regression(X: Any, y: Any) -> lightgbm.Booster:
    return trained(X, y + 1000)


def wrapped_regression(X: Any, y: Any) -> lightgbm.LGBMRegressor:
    return lightgbm.LGBMRegressor(n_estimators=5, objective="mse", **SMALL).fit(with_gaps(X), y)


def counts(X: Any, y: Any) -> lightgbm.Booster:
    return trained(X, y, objective="poisson")


def inexpressible() -> tuple[Any, tuple[int, ...], str]:
    X, y = samples((6,))
    model = trained(
        X, y % 2, objective="binary", boosting="rf", bagging_freq=1, bagging_fraction=0.5
    )
    return model, (6,), "boosting 'rf' of LightGBM cannot be exported"


def unsafe() -> tuple[Any, str]:
    X, y = samples((6,))
    return (
        trained(X, y % 2, objective="cross_entropy"),
        "objective 'cross_entropy' .* cannot be exported",
    )
