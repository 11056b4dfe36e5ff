"""A trained model as one ONNX file, published only if it gives what the trained model gives.

Of an imported model there is only the ONNX file: it is published without that claim. That of a
version in another workspace is used as it is, and stays there. A network has a second file beside
it, `features.onnx`, which also gives the features of its samples.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import ExportError, ParityError
from mlops_assets.models.export import uploaded_onnx
from mlops_assets.models.export.parity import (
    NO_SAMPLE,
    ParityReport,
    compare_outputs,
    located,
)
from mlops_assets.models.frameworks import framework_named
from mlops_assets.models.native import load_native, native_files
from mlops_assets.models.onnx import graph
from mlops_assets.models.onnx.deepness import deepness_metadata
from mlops_assets.models.onnx.features import FEATURES_FILE, features_graph
from mlops_assets.models.onnx.graph import with_scaling
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.signature import raw_data, scaling_of
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.paths import model_folder
from mlops_assets.progress import step
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.files.verified_read import published_path, shared_model
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject


def export(store: Store, specification: ModelSpecification, row: ModelVersion) -> ParityReport:
    """Export a model version to ONNX, and publish the file if its outputs match the model's.

    Args:
        store: workspace and registry.
        specification: the model as declared.
        row: the model version.

    Returns:
        The comparison of both models.

    Raises:
        ExportError: the model cannot be expressed in ONNX.
        ParityError: the ONNX model differs; the report is the error's argument, and nothing is
            published.
    """
    import onnx

    started = time.monotonic()
    native = {
        name: published_path(store.workspace, store.registry, file.path)
        for name, file in native_files(store, row).items()
    }
    data = raw_data(store.workspace, store.registry, row)
    X, _ = data.arrays("test", limit=specification.parity.samples)
    if not len(X):
        raise ParityError(NO_SAMPLE)
    exporting = step(f"exporting {row.model}@{row.version} to ONNX")
    with exporting, scratch_folder("onnx") as scratch:
        path = scratch / "model.onnx"
        # of an external model, its author's framework has given outputs for these samples
        external = row.framework == uploaded_onnx.FRAMEWORK
        run = store.registry.run(row.run_id)
        imported = bool(run.imported)
        shared = shared_model(store.workspace, store.registry, row.model, row.version)
        onnx_key = f"{model_folder(row.model, row.version)}/model.onnx"
        if shared is not None:
            path = published_path(store.workspace, store.registry, onnx_key)
            proto = onnx.load(path)
            outputs = OnnxModel(path).predict(X)
        elif imported:
            proto = onnx.load(native[uploaded_onnx.FILE], load_external_data=False)
            outputs = OnnxModel(native[uploaded_onnx.FILE]).predict(X)
        elif external:
            proto = onnx.load(native[uploaded_onnx.FILE], load_external_data=False)
            outputs = uploaded_onnx.sent_outputs(native)
        else:
            framework = framework_named(row.framework)
            scaling = scaling_of(row)
            model = load_native(native, framework, specification)
            framework.export(model, data.sample_shape, row.task, path)
            proto = onnx.load(path)
            if scaling is not None:
                proto = with_scaling(proto, scaling, data.sample_shape)
            graph.lower_ir_version(proto)
            scaled = X if scaling is None else scaling.apply(X)
            outputs = framework.predict(model, scaled, row.task)
        facts = {
            "model": row.model,
            "version": row.version,
            "task": row.task,
            "run_id": row.run_id,
            "data_version": data.reference,
            "data_digest": row.data_digest,
            "classes": "\n".join(data.class_names),
            "features": "\n".join(data.features),
            "units": "\n".join(
                data.committed.specification.units.get(name, "") for name in data.features
            ),
            "code_version": run.code_version,
        }
        if scores := graph.kind_of_scores(proto, row.framework):
            facts["scores"] = scores
        metadata = {f"mlops.{key}": value for key, value in facts.items()}
        if shared is None:
            onnx.helper.set_model_props(proto, metadata | deepness_metadata(proto, data))
            path.write_bytes(proto.SerializeToString())
        compare = uploaded_onnx.compare_sent if external else compare_outputs
        report = compare(outputs, OnnxModel(path), X, row.task, specification.parity)
        report = located(
            report, data.committed, data.positions("test", specification.parity.samples)
        )
        report = replace(report, claimed=not imported)
        if not report.passed:
            raise ParityError(
                report.description + "; loosen 'parity' only if you know why they differ"
            )
        features = scratch / FEATURES_FILE
        document: JsonObject = {**report.document(), "onnx": graph.facts(proto)}
        if shared is None:
            document["features"] = _write_features(path, features, X)
        folder = model_folder(row.model, row.version)
        with publication(store.workspace, store.registry) as publishing:
            if shared is None:
                publishing.put(onnx_key, path)
                if features.exists():
                    publishing.put(f"{folder}/{FEATURES_FILE}", features)
            publishing.put(f"{folder}/parity.json", json_bytes(document))
            store.registry.advance(
                row, "exported", publishing.files, seconds=time.monotonic() - started
            )
    return report


def _write_features(model: Path, target: Path, X: NDArray[np.float32]) -> JsonObject:
    """Write the ONNX file with the features of a model, and return facts, or why it has none."""
    try:
        return features_graph(model, target, X).document()
    except ExportError as error:
        return {"reason": str(error)}
