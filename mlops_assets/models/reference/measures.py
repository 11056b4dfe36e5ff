"""Measures of drift: of samples of a day, or of the test split, against training samples."""

from __future__ import annotations

from mlops_assets.registry.model_documents import Document


class FeatureDrift(Document):
    """The drift of a feature against training samples.

    Attributes:
        name: of the feature, or of a statistic of a band.
        ks: Kolmogorov-Smirnov distance, 0 to 1.
        wasserstein: Wasserstein distance, in standard deviations of the training samples.
        psi: population stability index.
        jensen_shannon: Jensen-Shannon distance, 0 to 1, base 2.
        missing: share of missing values.
    """

    name: str
    ks: float
    wasserstein: float
    psi: float
    jensen_shannon: float
    missing: float


class DriftMeasures(Document):
    """The drift of samples against training samples.

    Attributes:
        samples: that were compared.
        features: most drifted first.
        separation: AUC of a classifier that separates both, 0.5 to 1; None if it is unknown.
        prediction_shift: population stability index of predictions; None if it is unknown.
    """

    samples: int
    features: list[FeatureDrift]
    separation: float | None = None
    prediction_shift: float | None = None

    @property
    def psi(self) -> float | None:
        """Population stability index of the feature that has drifted most."""
        return max((feature.psi for feature in self.features), default=None)
