"""The best trial of a sweep: the rest of its lifecycle, and the alias `candidate`."""

from __future__ import annotations

from collections.abc import Callable

from mlops_assets.errors import GateFailure, PromotionRefused
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
    notify: Callable[[str], None],
) -> None:
    """Export, evaluate and record a model version, and move `candidate` to it if its gates pass.

    Args:
        store: the project's storage.
        specification: the model as declared.
        version: the model version.
        reporter: receives the results of its stages.
        notify: called with messages for the user.

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
            notify(note)
        outcome.raise_for_failure()
        row = store.registry.model_version(reference)
    if store.registry.aliases(row.model).get(CANDIDATE) != row.version:
        try:
            promote(store, row, specification.gates, CANDIDATE, specification.approval)
        except (GateFailure, PromotionRefused) as error:
            notify(str(error))
            return
    notify(f"{reference} is {CANDIDATE}")
