"""The applicability of a model version, measured with its ONNX file and published beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.models.applicability.description import Description, described
from mlops_assets.models.applicability.document import (
    ApplicabilityDocument,
    Axis,
    Measured,
    Profile,
    Target,
    Tested,
    Training,
    references_parquet,
)
from mlops_assets.models.applicability.fit import Described, Fit, fit
from mlops_assets.models.applicability.index import Applicability, ErrorProfile
from mlops_assets.models.applicability.profile import error_profile
from mlops_assets.models.applicability.samples import Samples, read_samples
from mlops_assets.models.applicability.target import target_pixels
from mlops_assets.models.onnx.features import FEATURES_FILE
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
from mlops_assets.storage import sha256_of
from mlops_assets.store import Store


def publish_applicability(store: Store, row: ModelVersion) -> ApplicabilityDocument:
    """Measure the applicability of an exported model version and publish it.

    Where nothing can be known, as of imported models without their training data, that is
    published with the reason. A network of an earlier release also gets its `features.onnx`.

    Args:
        store: workspace and registry.
        row: the exported model version.

    Returns:
        What was published as `applicability.json`.

    Raises:
        IntegrityError: a file of the model or of its data is not as it was published.
        StorageError: the model version has no ONNX file yet, or a file cannot be read.
    """
    if imported := store.registry.run_of(row).imported:
        unknown = "it was imported, and what it was trained on is not known"
        if there := imported.get("trained_on"):
            unknown = f"it was trained in another workspace, on {there} there, which is not read"
        return _published(store, row, ApplicabilityDocument(unknown=unknown), {})
    data = raw_data(store.workspace, store.registry, row)
    with (
        step(f"measuring the applicability of {row.model}@{row.version}"),
        described(store, row, data) as description,
    ):
        pixels = target_pixels(store, data) if description.space == "predictors" else None
        found = _measured(data, description, pixels)
        if isinstance(found, str):
            return _published(store, row, ApplicabilityDocument(unknown=found), {})
        document, points = found
        key = applicability_references_key(row.model, row.version)
        files: dict[str, bytes | Path] = {key: points}
        if description.made is not None:
            files[f"{model_folder(row.model, row.version)}/{FEATURES_FILE}"] = description.made
        return _published(store, row, document, files)


def _published(
    store: Store,
    row: ModelVersion,
    document: ApplicabilityDocument,
    files: Mapping[str, bytes | Path],
) -> ApplicabilityDocument:
    """Publish a document and other files, and return the document."""
    content = json_bytes(document.model_dump(mode="json"))
    with publication(store.workspace, store.registry) as publishing:
        publishing.put_all({**files, applicability_key(row.model, row.version): content})
        store.registry.add_files(model_owner(row.model, row.version), publishing.files)
    return document


def _measured(
    data: TrainingData, description: Description, pixels: NDArray[np.float32] | str | None
) -> tuple[ApplicabilityDocument, bytes] | str:
    """Return the document of an applicability and its references, or why nothing is known."""
    space, model = description.space, description.model
    if data.view == "image" and space == "predictors":
        return f"it takes whole images, and is {description.note}"
    training = read_samples(data, "train", space, model if space == "features" else None)
    names = (
        tuple(data.features)
        if space == "predictors"
        else tuple(f"feature_{place}" for place in range(1, training.values.shape[1] + 1))
    )
    importance = description.importance(data)
    found = fit(
        Described(space, names, training.values, training.codes),
        None if importance is None else importance.values,
    )
    if isinstance(found, str):
        return found
    test = read_samples(data, "test", space, model)
    tested = _Tested.of(found.applicability, training, test, data.task == "regression")
    own = replace(found.applicability, profile=tested.profile)
    points = references_parquet(own)
    measured = Measured(
        space=own.space,
        threshold=own.threshold,
        mean_distance=own.mean_distance,
        references=len(own.references),
        gap=own.gap,
        onnx=sha256_of(description.path),
        features=None if description.features is None else sha256_of(description.features),
        points=sha256_of(points),
        axes=[
            Axis(name=name, centre=centre, scale=scale, weight=weight)
            for name, centre, scale, weight in zip(
                own.names, own.centre, own.scale, own.weights, strict=True
            )
        ],
        weighted=None if importance is None or found.unweighted else importance.weighting,
        training=_training(training, found),
        test=tested.document,
        profile=None if own.profile is None else _profile(own.profile),
        target=None if pixels is None or isinstance(pixels, str) else _target(own, pixels),
    )
    notes = _notes(training, found)
    if isinstance(pixels, str):
        notes.append(f"the target area is not known: {pixels}")
    if description.note is not None:
        notes.append(description.note)
    return ApplicabilityDocument(measured=measured, notes=notes), points


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


def _target(applicability: Applicability, pixels: NDArray[np.float32]) -> Target:
    inside = applicability.inside(applicability.di(pixels))
    return Target(pixels=len(pixels), outside=float(np.mean(~inside)))


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
        notes.append("nothing is known to matter more to the model, so all weights are equal")
    own = found.applicability
    if own.gap > own.threshold:
        notes.append(
            f"the threshold, {own.threshold:.3f}, is finer than the reference points, which are up"
            f" to {own.gap:.3f} away from the samples that they stand for"
        )
    if training.left_out:
        notes.append(f"{training.left_out} training sample(s) lack values, and are ignored")
    return notes
