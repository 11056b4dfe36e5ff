"""Tiny scikit-learn estimators for the contract suite, and such as it must refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from mlops_assets_tests.training.example_trainers import samples


class ForeignClassifier(ClassifierMixin, BaseEstimator):
    """An estimator from outside scikit-learn."""

    def fit(self, X: Any, y: Any) -> ForeignClassifier:
        self.classes_ = np.unique(y)
        return self


def _fitted(model: Any, X: Any, y: Any) -> Any:
    return model.fit(X.reshape(len(X), -1), y)


def pipeline_svc(X: Any, y: Any) -> Any:
    return _fitted(make_pipeline(StandardScaler(), SVC()), X, y)


def linear_svc(X: Any, y: Any) -> Any:
    return _fitted(make_pipeline(StandardScaler(), LinearSVC()), X, y)


def discriminant_of_two_classes(X: Any, y: Any) -> Any:
    return _fitted(LinearDiscriminantAnalysis(), X, y % 2)


def best_features(X: Any, y: Any) -> Any:
    return _fitted(make_pipeline(SelectKBest(k=2), LogisticRegression()), X, y)


def random_forest(X: Any, y: Any) -> Any:
    return _fitted(RandomForestClassifier(5, random_state=0), X, y)


def logistic(X: Any, y: Any) -> Any:
    return _fitted(LogisticRegression(), X, y)


def ridge(X: Any, y: Any) -> Any:
    return _fitted(Ridge(), X, y)


def forest_regression(X: Any, y: Any) -> Any:
    return _fitted(RandomForestRegressor(5, random_state=0), X, y)


def inexpressible() -> tuple[Any, tuple[int, ...], str]:
    X, y = samples((6,))
    return (
        KNeighborsClassifier(metric=np.dot).fit(X, y),
        (6,),
        "KNeighborsClassifier cannot be exported to ONNX",
    )


def unsafe() -> tuple[Any, str]:
    X, y = samples((6,))
    return make_pipeline(StandardScaler(), ForeignClassifier()).fit(X, y), "ForeignClassifier"
