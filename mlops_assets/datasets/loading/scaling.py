"""Scaling of features or bands: the declaration, the figures of the training split, the formulae.

No file is read here. Figures have the form of MLM's Value Scaling Objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict, cast

from pydantic import Discriminator, Field, Tag, model_validator

from mlops_assets.errors import SpecificationError
from mlops_assets.strict import Strict
from mlops_assets.text.listing import named

if TYPE_CHECKING:  # what is declared about a model is read without NumPy
    import numpy as np
    from numpy.typing import NDArray

    from mlops_assets.datasets.loading.framework_loaders import StoredSamples

Method = Literal["none", "standardize", "minmax"]
OTHERS = "*"
# of float32, selected and scaled at once: raw values are not held beside it for more than that
BLOCK_BYTES = 4 << 20


class ScalingObject(TypedDict, total=False):
    """One MLM Value Scaling Object; which figures it has depends on its `type`.

    https://github.com/stac-extensions/mlm#value-scaling-object
    """

    type: Literal["z-score", "min-max", "scale"]
    mean: float
    stddev: float
    minimum: float
    maximum: float
    value: float


class Figures(Strict):
    """Declared figures for one feature or band: `mean` and `stddev`, or `minimum` and `maximum`.

    They are in units of the data.
    """

    mean: float | None = Field(default=None, description="Becomes 0.")
    stddev: float | None = Field(default=None, description="Above and below the mean, becomes ±1.")
    minimum: float | None = Field(default=None, description="Becomes 0.")
    maximum: float | None = Field(default=None, description="Becomes 1.")

    @model_validator(mode="after")
    def _one_pair(self) -> Figures:
        spread, low, high = self.stddev, self.minimum, self.maximum
        if sorted(
            [(self.mean is not None) + (spread is not None), (low is not None) + (high is not None)]
        ) != [0, 2]:
            raise ValueError("give 'mean' and 'stddev', or 'minimum' and 'maximum'")
        if (spread is not None and spread <= 0) or (
            low is not None and high is not None and high <= low
        ):
            raise ValueError("stddev must be above 0, and maximum above minimum")
        return self


def _several(value: object) -> str:
    """Return the tag of a declared scaling, so that errors are about the intended variant.

    `method` is a name alone, `each` declares several things.
    """
    return "each" if isinstance(value, dict | Figures) else "method"


_Named = Annotated[Method, Tag("method")]
DeclaredScaling = Annotated[
    _Named
    | Annotated[
        dict[str, Annotated[_Named | Annotated[Figures, Tag("each")], Discriminator(_several)]],
        Tag("each"),
    ],
    Discriminator(_several),
]


@dataclass(frozen=True)
class Scaling:
    """Figures for each feature or band, in order: one MLM Value Scaling Object each.

    `z-score` is (x - mean) / stddev, `min-max` is (x - minimum) / (maximum - minimum), `scale` of 1
    leaves x unchanged.
    """

    entries: tuple[ScalingObject, ...]

    @cached_property
    def offset(self) -> NDArray[np.float32]:
        """The offset subtracted from each feature; shape (features,)."""
        import numpy as np

        return np.array(
            [e.get("mean", e.get("minimum", 0.0)) for e in self.entries], dtype=np.float32
        )

    @cached_property
    def divisor(self) -> NDArray[np.float32]:
        """The divisor of each feature after that; shape (features,)."""
        import numpy as np

        spans = [
            e.get("stddev", e["maximum"] - e["minimum"] if "maximum" in e else 1.0)
            for e in self.entries
        ]
        return np.array(spans, dtype=np.float32)

    def apply(
        self, X: NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Scale samples.

        Args:
            X: float32 of shape (n, features, …).
            out: array of this shape that is written to, which may be `X`; a new one by default.

        Returns:
            float32 of the same shape.
        """
        import numpy as np

        shape = (-1,) + (1,) * (X.ndim - 2)
        scaled = np.subtract(X, self.offset.reshape(shape), out=out)
        scaled /= self.divisor.reshape(shape)
        return scaled


@dataclass(frozen=True)
class Preparation:
    """The preparation of raw samples for a model: the one place where it is done.

    Attributes:
        chosen: indices of the features or bands that are taken, in order; None takes all.
        scaling: how they are scaled then; None leaves them raw.
    """

    chosen: Sequence[int] | None = None
    scaling: Scaling | None = None

    def __call__(
        self,
        X: NDArray[np.generic] | StoredSamples,
        positions: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """Select and scale samples.

        Args:
            X: shape (n, features, …), in the data's own dtype.
            positions: of the samples in X that are taken, int64 of shape (m,); all by default.

        Returns:
            float32 of shape (m, chosen features, …).
        """
        import numpy as np

        if self.chosen is None and self.scaling is None and X.dtype == np.float32:
            return np.asarray(X[:] if positions is None else X[positions], dtype=np.float32)
        samples = len(X) if positions is None else len(positions)
        features = X.shape[1] if self.chosen is None else len(self.chosen)
        prepared = np.empty((samples, features, *X.shape[2:]), dtype=np.float32)
        step = max(1, BLOCK_BYTES // max(1, prepared[:1].nbytes))
        with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite
            for start in range(0, samples, step):
                part = slice(start, start + step)
                block = prepared[part]
                raw = X[part if positions is None else positions[part]]
                block[...] = raw if self.chosen is None else raw[:, self.chosen]
                if self.scaling is not None:
                    self.scaling.apply(block, out=block)
        return prepared


def methods_of(declared: DeclaredScaling, features: Sequence[str]) -> dict[str, Method | Figures]:
    """Return the method or figures of each feature.

    Args:
        declared: one method for all, or method or figures by name; `*` stands for the others.
        features: names of the features, in order.

    Raises:
        SpecificationError: a declared name is not a feature.
    """
    if isinstance(declared, str):
        return dict.fromkeys(features, declared)
    unknown = sorted(declared.keys() - {OTHERS, *features})
    if unknown:
        raise SpecificationError(f"scaling: no {', '.join(unknown)}; there is {named(features)}")
    return {name: declared.get(name, declared.get(OTHERS, "none")) for name in features}


def fit(
    methods: Mapping[str, Method | Figures], found: Mapping[str, Sequence[float | None]] | None
) -> Scaling | None:
    """Return the scaling of each feature, or None if none is scaled.

    A feature that is the same in all training samples is only shifted, by dividing by 1.

    Args:
        methods: method or figures of each feature, in order.
        found: `mean`, `std`, `min` and `max` of each feature; needed only where a method is named.

    Raises:
        SpecificationError: a feature has no value in the training split.
    """
    entries = [_entry(name, method, found, i) for i, (name, method) in enumerate(methods.items())]
    return Scaling(tuple(entries)) if any(entry["type"] != "scale" for entry in entries) else None


def _entry(
    name: str,
    method: Method | Figures,
    found: Mapping[str, Sequence[float | None]] | None,
    index: int,
) -> ScalingObject:
    if isinstance(method, Figures):
        kind = "z-score" if method.mean is not None else "min-max"
        # validated: exactly the pair of figures of its kind
        return cast(ScalingObject, {"type": kind, **method.model_dump(exclude_none=True)})
    if method == "none" or found is None:
        return {"type": "scale", "value": 1.0}
    mean, spread, low, high = (found[measure][index] for measure in ("mean", "std", "min", "max"))
    if mean is None or spread is None or low is None or high is None:
        raise SpecificationError(
            f"scaling: {name} has no value in the training split; leave it out with 'bands'"
        )
    if method == "minmax":
        return {"type": "min-max", "minimum": low, "maximum": high if high > low else low + 1}
    return {"type": "z-score", "mean": mean, "stddev": spread if high > low else 1.0}
