"""Tiny XGBoost models for the contract suite, and such as it must refuse.

Samples have missing values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost

from mlops_assets_tests.models.frameworks.models import with_gaps
from mlops_assets_tests.training.example_trainers import samples


def trained(X: Any, y: Any, rounds: int = 5, **params: Any) -> xgboost.Booster:
    return xgboost.train({"max_depth": 3, **params}, xgboost.DMatrix(with_gaps(X), y), rounds)


def booster(X: Any, y: Any) -> xgboost.Booster:
    return trained(X, y, objective="multi:softprob", num_class=3)


def wrapper(X: Any, y: Any) -> xgboost.XGBClassifier:
    """Stopped early, so that it holds more trees than it uses."""
    rows, noise = with_gaps(X), np.random.default_rng(0).permutation(y)
    model = xgboost.XGBClassifier(n_estimators=20, max_depth=3, early_stopping_rounds=3)
    model.fit(rows, y, eval_set=[(rows, noise)], verbose=False)
    assert model.get_booster().num_boosted_rounds() > model.best_iteration + 1
    return model


def wrapper_of_two_classes(X: Any, y: Any) -> xgboost.XGBClassifier:
    return xgboost.XGBClassifier(n_estimators=5, base_score=0.8).fit(with_gaps(X), y % 2)


def regression(X: Any, y: Any) -> xgboost.Booster:
    return trained(X, y + 1000)


def wrapped_regression(X: Any, y: Any) -> xgboost.XGBRegressor:
    return xgboost.XGBRFRegressor(n_estimators=7, random_state=0).fit(with_gaps(X), y)


def counts(X: Any, y: Any) -> xgboost.Booster:
    return trained(X, y, objective="count:poisson")


def inexpressible() -> tuple[Any, tuple[int, ...], str]:
    X, y = samples((6,))
    return (
        trained(X, y % 2, booster="dart", objective="binary:logistic"),
        (6,),
        "booster 'dart' .* cannot be exported",
    )


def unsafe() -> tuple[Any, str]:
    X, y = samples((6,))
    return (
        trained(X, y, objective="rank:pairwise"),
        "objective 'rank:pairwise' .* cannot be exported",
    )
