"""The datasets that a project declares: those whose files land, and those made from other data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlops_assets.datasets.specification.dataset import DatasetSpecification, QualityThresholds
from mlops_assets.errors import NotFound, SpecificationError
from mlops_assets.processing.specification import ProcessedDatasetSpecification


@dataclass(frozen=True)
class DeclaredDatasets:
    """The datasets of a project by name.

    Attributes:
        landing: those whose files land.
        processed: those that a function makes from other data.
        left_out: why datasets and models that are declared wrongly are left out.
    """

    landing: Mapping[str, DatasetSpecification]
    processed: Mapping[str, ProcessedDatasetSpecification]
    left_out: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """The names of all, sorted."""
        return sorted({*self.landing, *self.processed})

    def title(self, name: str) -> str | None:
        """Return the declared title of a dataset; None if it is not declared."""
        found = self.landing.get(name) or self.processed.get(name)
        return None if found is None else found.title

    def thresholds(self, name: str) -> QualityThresholds | None:
        """Return the declared thresholds of a dataset's checks; None if it is not declared."""
        found = self.landing.get(name) or self.processed.get(name)
        return None if found is None else found.quality

    def with_landing(self, name: str) -> DatasetSpecification:
        """Return the declaration of a dataset whose files land.

        Raises:
            NotFound: it is not declared.
            SpecificationError: it is declared wrongly, or made from other data.
        """
        if name in self.processed:
            inputs = ", ".join(self.processed[name].inputs)
            raise SpecificationError(f"{name} is made from {inputs}, so that it has no landing")
        if name in self.left_out:
            raise SpecificationError(
                f"{name} is declared wrongly; correct its declaration:\n{self.left_out[name]}"
            )
        if name not in self.landing:
            declared = ", ".join(sorted(self.landing)) or "none"
            raise NotFound(
                f"{name!r} is not declared with a landing; this project declares {declared}"
            )
        return self.landing[name]


NO_DATASETS = DeclaredDatasets({}, {}, {})
