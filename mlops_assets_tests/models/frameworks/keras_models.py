"""Tiny Keras models for the contract suite, and such as it must refuse."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable("tests")
class Times(keras.Layer):
    """A layer of one's own with an argument."""

    def __init__(self, factor: float = 2.0, **named: Any) -> None:
        super().__init__(**named)
        self.factor = factor

    def call(self, rows: Any) -> Any:
        return rows * self.factor

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


class Eigen(keras.Layer):
    """Has an operator that ONNX does not."""

    def call(self, squares: Any) -> Any:
        return tf.linalg.eigvalsh(squares)


def fitted(model: keras.Model, X: Any, y: Any, loss: str) -> keras.Model:
    """A model after one step, compiled, with an optimizer that has a state."""
    model.compile("adam", loss)
    model.train_on_batch(X, y)
    return model


def _start() -> None:
    keras.utils.clear_session()  # equal models have equal names of layers
    keras.utils.set_random_seed(0)


def sequential(X: Any, y: Any) -> keras.Model:
    _start()
    scaled = layers.Normalization()
    scaled.adapt(X)
    body = [
        scaled,
        layers.Dense(8),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Dropout(0.5),
    ]
    model = keras.Sequential([keras.Input((6,)), *body, layers.Dense(3, activation="softmax")])
    return fitted(model, X, y, "sparse_categorical_crossentropy")


def functional_on_patches(X: Any, y: Any) -> keras.Model:
    _start()
    patches = keras.Input((4, 5, 5))
    last = layers.Permute((2, 3, 1))(patches)
    found = layers.Conv2D(4, 3, padding="same", activation="relu", kernel_regularizer="l2")(last)
    found = layers.Conv2D(4, 3, padding="same")(found) + found
    scores = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(found))
    return fitted(keras.Model(patches, scores), X, y, "sparse_categorical_crossentropy")


def own_layer(X: Any, y: Any) -> keras.Model:
    _start()
    model = keras.Sequential([keras.Input((6,)), Times(3.0), layers.Dense(3)])
    return fitted(model, X, y, "sparse_categorical_crossentropy")


def windows(X: Any, y: Any) -> keras.Model:
    _start()
    body = [
        layers.Permute((2, 3, 1)),
        layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.Conv2D(3, 1),
    ]
    return keras.Sequential([keras.Input((2, 8, 8)), *body, layers.Permute((3, 1, 2))])


def regression(X: Any, y: Any) -> keras.Model:
    _start()
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(4, activation="silu"), layers.Dense(1)]
    )
    return fitted(model, X, y, "mse")


def inexpressible() -> tuple[keras.Model, tuple[int, ...], str]:
    return keras.Sequential([keras.Input((3, 3)), Eigen()]), (3, 3), "SelfAdjointEig"


def unsafe() -> tuple[keras.Model, str]:
    return (
        keras.Sequential([keras.Input((6,)), layers.Lambda(lambda rows: rows * 2)]),
        "the model holds a Lambda",
    )
