"""Listeners for tests: to progress, and to the stages of a model version."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_assets.errors import ParityError
from mlops_assets.models.applicability.document import ApplicabilityDocument
from mlops_assets.models.evaluation.tally import Evaluation
from mlops_assets.models.export.parity import ParityReport
from mlops_assets.models.gates.outcomes import GateOutcome
from mlops_assets.models.lifecycle import Reporter
from mlops_assets.progress import Step
from mlops_assets.registry import ModelVersion
from mlops_assets.storage import FileStat


class Steps(list[Step]):
    """Keeps the pieces of work that were reported."""

    def begin(self, step: Step) -> None:
        self.append(step)

    def end(self, step: Step) -> None:
        assert step in self


class Unheard(Reporter):
    """Drops what is reported."""

    def __exit__(self, *error: object) -> None:
        pass

    def trained(self, row: ModelVersion) -> None:
        pass

    def exported(self, row: ModelVersion, report: ParityReport) -> None:
        pass

    def unproved(self, row: ModelVersion, error: ParityError) -> None:
        pass

    def delimited(self, row: ModelVersion, found: ApplicabilityDocument) -> None:
        pass

    def evaluated(self, row: ModelVersion, found: Evaluation, figure: bytes) -> None:
        pass

    def recorded(
        self, row: ModelVersion, files: Sequence[FileStat], outcomes: Sequence[GateOutcome]
    ) -> None:
        pass
