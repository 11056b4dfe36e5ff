"""The best trial of a sweep, taken through the rest of the lifecycle, and `candidate` then."""

from __future__ import annotations

from collections.abc import Callable

from mlops_assets.errors import GateFailure
from mlops_assets.models.lifecycle import Reporter, complete
from mlops_assets.models.promotion import promote
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.registry.schema import STAGES
from mlops_assets.store import Store

CANDIDATE = "candidate"


def propose(
    store: Store,
    specification: ModelSpecification,
    version: str,
    reporter: Reporter,
    tell: Callable[[str], None],
) -> None:
    """Export, measure and record a model version, and move `candidate` to it if its gates pass.

    Args:
        store: where it lies.
        specification: the model as declared.
        version: the model version.
        reporter: where its stages report to.
        tell: called with what has come of it, in a sentence.

    Raises:
        ExportError: the model cannot be expressed in ONNX.
        ParityError: the ONNX model differs from the trained one.
        EvaluationError: it cannot be measured.
    """
    reference = Reference(specification.name, version)
    row = store.registry.model_version(reference)
    if STAGES.index(row.stage) < STAGES.index("recorded"):
        outcome = complete(store, specification, row, reporter)
        for note in outcome.notes:
            tell(note)
        outcome.raise_for_failure()
        row = store.registry.model_version(reference)
    if store.registry.aliases(row.model).get(CANDIDATE) != row.version:
        try:
            promote(store, row, specification.gates, CANDIDATE)
        except GateFailure as error:
            tell(str(error))
            return
    tell(f"{reference} is {CANDIDATE}")
