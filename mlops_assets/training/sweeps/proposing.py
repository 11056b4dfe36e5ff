"""The best trial of a sweep taken through the rest of the lifecycle, and proposed as `candidate`."""

from __future__ import annotations

from mlops_assets.errors import GateFailure
from mlops_assets.names import Reference
from mlops_assets.registry.schema import STAGES
from mlops_assets.training.exporting import export
from mlops_assets.training.measuring import evaluate_version
from mlops_assets.training.promotion import promote
from mlops_assets.training.records import record_version
from mlops_assets.training.specification import ModelSpecification
from mlops_assets.training.store import Store

CANDIDATE = "candidate"


def propose(store: Store, specification: ModelSpecification, version: str) -> str:
    """Export, measure and record a model version, and move `candidate` to it if its gates pass.

    Returns:
        What has come of it, in a sentence.

    Raises:
        ExportError: the model cannot be expressed in ONNX.
        ParityError: the ONNX model differs from the trained one.
        EvaluationError: it cannot be measured.
    """
    reference = Reference(specification.name, version)
    row = store.registry.model_version(reference)
    if STAGES.index(row.stage) < STAGES.index("recorded"):
        export(store, specification, row)
        evaluate_version(store, specification, row)
        record_version(store, specification, row)
        row = store.registry.model_version(reference)
    if store.registry.aliases(row.model).get(CANDIDATE) != row.version:
        try:
            promote(store, row, specification.gates, store.user, CANDIDATE)
        except GateFailure as error:
            return str(error)
    return f"{reference} is {CANDIDATE}"
