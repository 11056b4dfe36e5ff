"""The applicability of a model version, measured with its ONNX file and published beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import SplitName
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.models.applicability.document import (
    ApplicabilityDocument,
    Axis,
    Measured,
    Profile,
    Tested,
    Training,
    Weighting,
    references_parquet,
)
from mlops_assets.models.applicability.fit import Described, Fit, fit
from mlops_assets.models.applicability.importance import permutation_importance, samples_for
from mlops_assets.models.applicability.index import Applicability, ErrorProfile
from mlops_assets.models.applicability.profile import error_profile
from mlops_assets.models.applicability.samples import Samples, read_samples
from mlops_assets.models.evaluation.calibration import Scores
from mlops_assets.models.onnx.graph import kind_of_scores
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.signature import raw_data
from mlops_assets.paths import (
    applicability_key,
    applicability_references_key,
    model_folder,
    model_owner,
)
from mlops_assets.progress import step
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.storage import sha256_of
from mlops_assets.store import Store


def publish_applicability(store: Store, row: ModelVersion) -> ApplicabilityDocument:
    """Measure the applicability of an exported model version and publish it.

    Where nothing can be known, as of imported models without their training data, that is
    published with the reason.

    Args:
        store: workspace and registry.
        row: the exported model version.

    Returns:
        What was published as `applicability.json`.

    Raises:
        IntegrityError: a file of the model or of its data is not as it was published.
        StorageError: the model version has no ONNX file yet, or a file cannot be read.
    """
    contents: dict[str, bytes] = {}
    found = _measured(store, row)
    if isinstance(found, str):
        document = ApplicabilityDocument(unknown=found)
    else:
        document, applicability = found
        key = applicability_references_key(row.model, row.version)
        contents[key] = references_parquet(applicability)
    contents[applicability_key(row.model, row.version)] = json_bytes(
        document.model_dump(mode="json")
    )
    with publication(store.workspace, store.registry) as publishing:
        publishing.put_all(contents)
        store.registry.add_files(model_owner(row.model, row.version), publishing.files)
    return document


def _measured(store: Store, row: ModelVersion) -> tuple[ApplicabilityDocument, Applicability] | str:
    """Return the applicability of a model version, or why nothing is known of it."""
    import onnx

    if store.registry.run_of(row).imported:
        return "it was imported, and what it was trained on is not known"
    data = raw_data(store.workspace, store.registry, row)
    if data.view == "image":
        return "it takes whole images, which have no predictors of their own"
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    path = published_path(store.workspace, store.registry, key)
    model = OnnxModel(path)
    training = read_samples(data, "train", "predictors", None)
    described = Described("predictors", tuple(data.features), training.values, training.codes)
    with step(f"measuring the applicability of {row.model}@{row.version}"):
        weights = _weights(data, model, kind_of_scores(onnx.load(path), row.framework))
        found = fit(described, None if weights is None else weights.importance)
    if isinstance(found, str):
        return found
    test = read_samples(data, "test", "predictors", model)
    tested = _Tested.of(found.applicability, training, test, data.task == "regression")
    own = replace(found.applicability, profile=tested.profile)
    measured = Measured(
        space=own.space,
        threshold=own.threshold,
        mean_distance=own.mean_distance,
        references=len(own.references),
        gap=own.gap,
        onnx=sha256_of(path),
        axes=[
            Axis(name=name, centre=centre, scale=scale, weight=weight)
            for name, centre, scale, weight in zip(
                own.names, own.centre, own.scale, own.weights, strict=True
            )
        ],
        weighted=None if weights is None or found.unweighted else weights.weighting,
        training=_training(training, found),
        test=tested.document,
        profile=None if own.profile is None else _profile(own.profile),
    )
    return ApplicabilityDocument(measured=measured, notes=_notes(training, found)), own


@dataclass(frozen=True)
class _Weights:
    """The importance of each predictor, (d,), and how it was measured."""

    importance: NDArray[np.float64]
    weighting: Weighting


def _weights(data: TrainingData, model: OnnxModel, scores: Scores | None) -> _Weights | None:
    """Measure the importance of each predictor; None without samples.

    It is measured on the validation split, else on the training split, and never on the test split,
    by which versions are judged.
    """
    splits: tuple[SplitName, ...] = ("validation", "train")
    split = next((name for name in splits if len(data.committed.split(name))), None)
    if split is None:
        return None
    X, y = data.arrays(split, limit=samples_for(data.sample_shape))
    importance, error = permutation_importance(model.predict, X, y, scores)
    return _Weights(importance, Weighting(split=split, samples=len(X), error=error))


def _training(samples: Samples, found: Fit) -> Training:
    return Training(
        samples=len(samples.values),
        read=samples.read,
        total=samples.total,
        left_out=samples.left_out,
        compared="all other samples" if found.alone else f"samples of other {samples.units}",
    )


@dataclass(frozen=True)
class _Tested:
    """The index on the test split: in the document, and the error that goes with it."""

    document: Tested | None
    profile: ErrorProfile | None

    @classmethod
    def of(
        cls, applicability: Applicability, training: Samples, test: Samples, numbers: bool
    ) -> _Tested:
        """Measure it.

        Args:
            applicability: of the training samples.
            training: those.
            test: samples of the test split, with errors.
            numbers: whether the model predicts numbers.
        """
        if not len(test.values) or test.errors is None:
            return cls(None, None)
        di = applicability.di(test.values)
        exact = applicability.exact_di(test.values, training.values)
        document = Tested(
            samples=len(di),
            outside=float(np.mean(~applicability.inside(di))),
            difference=float(np.abs(di - exact).max()),
        )
        measure = "absolute error" if numbers else "error rate"
        return cls(document, error_profile(di, test.errors, measure, "test"))


def _profile(profile: ErrorProfile) -> Profile:
    return Profile(
        measure=profile.measure,
        split=profile.split,
        samples=profile.samples,
        di=profile.di.tolist(),
        error=profile.error.tolist(),
    )


def _notes(training: Samples, found: Fit) -> list[str]:
    """Return what people should know of how the index was made."""
    notes = []
    if found.alone:
        notes.append(
            "each training sample was compared with all others, as they have no groups and no"
            " places, or all are in one: the area of applicability is too small if neighbours are"
            " alike"
        )
    if found.constant:
        notes.append(f"equal in all training samples, and ignored: {', '.join(found.constant)}")
    if found.unweighted:
        notes.append("no predictor matters by itself to the model, so all have equal weight")
    if training.left_out:
        notes.append(f"{training.left_out} training sample(s) lack values, and are ignored")
    return notes
