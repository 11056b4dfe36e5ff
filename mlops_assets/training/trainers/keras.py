"""Small networks in Keras.

They have dense layers for rows and pixels, and convolutions for patches and images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mlops_assets.errors import TrainerError
from mlops_assets.extras import needs
from mlops_assets.strict import Strict
from mlops_assets.training.trainers.arrays import SplitArrays, split_arrays

if TYPE_CHECKING:
    import keras

    from mlops_assets.datasets.loading.training_data import TrainingData
    from mlops_assets.training.run import TrainingRun

FRAMEWORK = "keras"


class Params(Strict):
    """Parameters of `train`."""

    epochs: int = Field(default=50, ge=1, description="Passes over the training split.")
    batch_size: int = Field(default=64, ge=1, description="Samples a step.")
    learning_rate: float = Field(default=1e-3, gt=0, lt=10, description="Of Adam.")
    width: int = Field(
        default=64, ge=1, le=8192, description="Units of a dense layer, channels of a convolution."
    )
    layers: int = Field(default=2, ge=1, le=16, description="Hidden layers.")
    dropout: float = Field(
        default=0.2, ge=0, lt=1, description="Share of features left out in training."
    )
    patience: int = Field(
        default=10,
        ge=0,
        description=(
            "Stop after so many epochs without a lower validation_loss; 0 never stops early."
        ),
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none",
        description="balanced: a class counts one over its share of the training labels.",
    )
    checkpoint_every: int = Field(default=1, ge=1, description="Epochs between checkpoints.")


def train(data: TrainingData, params: Params, run: TrainingRun) -> keras.Model:
    """Train a network on the training split.

    Args:
        data: rows, pixels, patches or images.
        params: parameters of the network and of its training.
        run: the run that it belongs to.

    Returns:
        The network, with the weights of the lowest validation loss.

    Raises:
        MissingExtra: TensorFlow is not installed.
        TrainerError: the data is read as windows, has no training samples, or does not suit the
            parameters.
    """
    with needs("tensorflow", "the trainer keras"):
        import keras
        import tensorflow as tf
    if data.view == "window":
        raise TrainerError(
            f"keras takes no windows, and {data.reference} is read so; use the trainer unet"
        )
    with run.phase("data"):
        arrays = split_arrays(data, balanced=params.class_weights == "balanced")
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    keras.utils.clear_session()
    keras.utils.set_random_seed(run.seed % 2**32)
    tf.config.experimental.enable_op_determinism()
    with tf.device("/GPU:0" if run.device.startswith("cuda") else "/CPU:0"):
        model = _network(data, params, arrays)
        losses = {"regression": "mean_squared_error"}
        loss = losses.get(data.task, "sparse_categorical_crossentropy")
        model.compile(keras.optimizers.Adam(params.learning_rate), loss)
        best = _fit(model, params, run, arrays)
        if best is not None:
            model.set_weights(best)
    return model


def _fit(
    model: keras.Model, params: Params, run: TrainingRun, arrays: SplitArrays
) -> list[NDArray[np.generic]] | None:
    """Train epoch by epoch.

    Return the weights of the lowest validation loss, if there is a validation split.
    """
    model.optimizer.build(model.trainable_variables)
    X = arrays.samples
    weights = arrays.weights
    start = 0
    lowest = float("inf")
    lowest_at = -1
    best: list[NDArray[np.generic]] | None = None
    found = run.restore()
    if found is not None:
        start = found.state["epoch"]
        lowest = found.state["lowest"]
        lowest_at = found.state["lowest_at"]
        best = found.state["best"]
        for variable, value in zip(_variables(model), found.state["variables"], strict=True):
            variable.assign(value)
    for epoch in range(start, params.epochs):
        if params.patience and best is not None and epoch - lowest_at > params.patience:
            break
        order = np.random.default_rng((run.seed, epoch)).permutation(len(X))
        total = 0.0
        for first in range(0, len(X), params.batch_size):
            chosen = order[first : first + params.batch_size]
            weight = None if weights is None else weights[chosen]
            model.reset_metrics()
            total += len(chosen) * float(
                model.train_on_batch(X[chosen], arrays.labels[chosen], sample_weight=weight)
            )
        metrics = {"train_loss": total / len(X)}
        if len(arrays.validation_samples):
            model.reset_metrics()
            loss = float(
                model.evaluate(
                    arrays.validation_samples, arrays.validation_labels, batch_size=1024, verbose=0
                )
            )
            metrics["validation_loss"] = loss
            if loss < lowest:
                lowest = loss
                lowest_at = epoch
                best = model.get_weights()
        run.log(metrics, step=epoch)
        if (epoch + 1) % params.checkpoint_every == 0:
            state = {
                "epoch": epoch + 1,
                "lowest": lowest,
                "lowest_at": lowest_at,
                "best": best,
                "variables": [np.asarray(variable) for variable in _variables(model)],
            }
            run.checkpoint(state, step=epoch)
    return best


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Return the weights, the optimizer's state and the seeds of dropout."""
    return [*model.variables, *model.optimizer.variables]


def _network(data: TrainingData, params: Params, arrays: SplitArrays) -> keras.Model:
    import keras
    from keras import layers

    X = arrays.samples
    y = arrays.labels
    body: list[keras.KerasTensor | keras.Layer] = [keras.Input(data.sample_shape, name="samples")]
    others = tuple(axis for axis in range(X.ndim) if axis != 1)
    mean = X.mean(others, np.float64).tolist()
    variance = X.var(others, np.float64).tolist()
    # whatever units they have
    body.append(layers.Normalization(axis=1, mean=mean, variance=variance, name="scaled"))
    if len(data.sample_shape) == 1:
        for number in range(params.layers):
            body += [
                layers.Dense(params.width, "relu", name=f"dense_{number}"),
                layers.Dropout(params.dropout, name=f"dropout_{number}"),
            ]
    else:
        body.append(layers.Permute((2, 3, 1), name="bands_last"))
        for number in range(params.layers):
            body += [
                layers.Conv2D(
                    params.width, 3, padding="same", use_bias=False, name=f"convolution_{number}"
                ),
                layers.BatchNormalization(momentum=0.9, name=f"normalized_{number}"),
                layers.ReLU(name=f"relu_{number}"),
            ]
        body += [
            layers.GlobalAveragePooling2D(name="mean"),
            layers.Dropout(params.dropout, name="dropout"),
        ]
    if data.task == "regression":
        body.append(layers.Dense(1, name="deviation"))
        body.append(layers.Rescaling(float(y.std()) or 1.0, float(y.mean()), name="value"))
    else:
        body.append(layers.Dense(len(data.class_names), "softmax", name="scores"))
    return keras.Sequential(body, name="network")
