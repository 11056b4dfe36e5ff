"""The facts that the contract of the layouts needs about each layout of a landing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mlops_assets.datasets.specification.dataset import DatasetSpecification

CLASSES = {1: "water", 2: "land"}
HALVES = {"train": 0.5, "test": 0.5}


@dataclass
class Truth:
    """The landed data, in plain numpy.

    Attributes:
        values: path of a table → its features (rows, features); path of an image, of stacked ones
            the first → its pixels (bands, rows, columns).
        labels: the same paths → list of the rows' labels; label of the whole image; or labels of
            the pixels (rows, columns), 0 or NaN where unknown.
        files: path of every file that is used → facts that the manifest must have; those not named
            must be unknown.
    """

    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Implementation:
    """One way that training data may lie in a landing.

    Attributes:
        name: what it is called in the names of tests.
        source: options of the source, without its `url`.
        land: `land(folder, count)` lands the first `count` units: files, rows or scenes.
        kind: how a sample is shaped.
        splits: split method → its options, for methods that keep a sample in its split when the
            dataset grows.
        features: names of features or bands.
        classes: as declared.
        found_classes: as found, if they are not declared; None where the label is a number.
        located, timed: whether samples have a place on the ground, and a time.
    """

    name: str
    source: Mapping[str, Any]
    land: Callable[[Path, int], Truth]
    kind: str
    splits: Mapping[str, Mapping[str, Any]]
    features: list[str]
    classes: Mapping[Any, str] | None = None
    found_classes: Mapping[Any, str] | None = None
    located: bool = False
    timed: bool = False

    def specification(self, split: str = "random", name: str = "data") -> DatasetSpecification:
        """The dataset as declared, divided by one of its split methods."""
        return DatasetSpecification.model_validate(
            {
                "name": name,
                "source": {"url": f"landing/{name}", **self.source},
                "classes": self.classes,
                "split": {"method": split, "fractions": HALVES, **self.splits[split]},
            }
        )

    def __str__(self) -> str:
        return self.name
