"""Tiny Flax modules for the contract suite, and such as it must refuse."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


class MLP(nnx.Module):
    """Rows to classes or a number."""

    def __init__(self, features: int, outputs: int = 3, *, rngs: nnx.Rngs) -> None:
        self.features, self.outputs = features, outputs
        self.hidden, self.norm = nnx.Linear(features, 8, rngs=rngs), nnx.BatchNorm(8, rngs=rngs)
        self.dropout, self.head = nnx.Dropout(0.5, rngs=rngs), nnx.Linear(8, outputs, rngs=rngs)

    def __call__(self, rows: Any) -> Any:
        return self.head(self.dropout(nnx.gelu(self.norm(self.hidden(rows)))))


class Patches(nnx.Module):
    """Convolves over patches, bands last inside."""

    def __init__(self, bands: int, classes: int, *, rngs: nnx.Rngs) -> None:
        self.bands, self.classes = bands, classes
        self.body, self.head = (
            nnx.Conv(bands, 4, (3, 3), rngs=rngs),
            nnx.Linear(4, classes, rngs=rngs),
        )

    def __call__(self, patches: Any) -> Any:
        return self.head(nnx.relu(self.body(jnp.transpose(patches, (0, 2, 3, 1)))).mean((1, 2)))


class Windows(nnx.Module):
    """Scores every pixel of a window."""

    def __init__(self, bands: int, classes: int, *, rngs: nnx.Rngs) -> None:
        self.bands, self.classes = bands, classes
        self.body, self.head = (
            nnx.Conv(bands, 4, (3, 3), rngs=rngs),
            nnx.Conv(4, classes, (1, 1), rngs=rngs),
        )

    def __call__(self, windows: Any) -> Any:
        found = self.head(nnx.relu(self.body(jnp.transpose(windows, (0, 2, 3, 1)))))
        return jnp.transpose(found, (0, 3, 1, 2))


class Exponential(nnx.Module):
    """Has an operator that ONNX does not."""

    def __call__(self, squares: Any) -> Any:
        return jax.scipy.linalg.expm(squares)[:, 0]


class KeepsArray(nnx.Module):
    """Keeps an argument that JSON cannot hold."""

    def __init__(self, weight: Any) -> None:
        self.weight = nnx.Param(weight)

    def __call__(self, rows: Any) -> Any:
        return rows * self.weight


def mlp(X: Any, y: Any) -> nnx.Module:
    model = MLP(6, rngs=nnx.Rngs(0))
    model(jnp.asarray(X))  # moves the batch norm's statistics away from where they start
    return model


def patches(X: Any, y: Any) -> nnx.Module:
    return Patches(4, 3, rngs=nnx.Rngs(0))


def windows(X: Any, y: Any) -> nnx.Module:
    return Windows(2, 3, rngs=nnx.Rngs(0))


def regression(X: Any, y: Any) -> nnx.Module:
    return MLP(6, 1, rngs=nnx.Rngs(0))


def inexpressible() -> tuple[nnx.Module, tuple[int, ...], str]:
    return Exponential(), (3, 3), "Exponential cannot be exported to ONNX: .*primitive"


def unsafe() -> tuple[nnx.Module, str]:
    return KeepsArray(jnp.ones(2)), "keeps 'weight' as a Param"
