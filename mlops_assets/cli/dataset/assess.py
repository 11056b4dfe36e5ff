"""`mlops dataset assess`: quality report, figures, record and checks of a data version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.interruption import interruptible
from mlops_assets.cli.terminal.launching import Detach, open_project, print_submitted
from mlops_assets.cli.terminal.output import Json, Module, console, open_store, show_one
from mlops_assets.names import Reference

if TYPE_CHECKING:
    from mlops_assets.datasets.quality import Check
    from mlops_assets.orchestration.project import Project
    from mlops_assets.orchestration.results import RunResult


@dataclass(frozen=True)
class Assessment:
    """The outcome of assessing a data version: checks, and changes of the dataset's record."""

    reference: str
    checks: Sequence[Check]
    changes: Sequence[str]

    @property
    def blocked(self) -> bool:
        """True if a failed check blocks training."""
        return any(check.blocking and not check.passed for check in self.checks)

    def lines(self, notes: Sequence[str] = ()) -> Iterator[str]:
        """Yield a summary, and a line for each failed check and each change of the record.

        Args:
            notes: notes that are printed already; a check that only repeats one is left out.
        """
        passed = sum(check.passed for check in self.checks)
        yield f"{self.reference}: {passed} of {len(self.checks)} checks passed"
        yield from failed_lines(
            [c for c in self.checks if not any(c.description in note for note in notes)]
        )
        yield from change_lines(self.changes)


def assess(
    reference: Annotated[
        str,
        typer.Argument(
            help="dataset, dataset@version or dataset@tag.",
            autocompletion=completion.data_references,
        ),
    ],
    detach: Detach = False,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Assess a data version: quality report, figures and record, without training.

    Thresholds, title, licence, providers and extent are those that the project declares now. Exits
    with 1 if a failed check blocks training; the record is not written then.
    """
    row = open_store().registry.data_version(Reference.parse(reference))
    with open_project(module) as project:
        if detach:
            print_submitted(submit_assessment(project, row.dataset, row.version), as_json)
            return
        done = assess_version(project, row.dataset, row.version)
    if as_json:
        show_one(
            {
                "dataset": row.dataset,
                "version": row.version,
                "checks": [described(check) for check in done.checks],
                "record_changes": list(done.changes),
            },
            as_json,
        )
    else:
        for line in done.lines():
            console.print(line)
    if done.blocked:
        raise typer.Exit(1)


def submit_assessment(project: Project, dataset: str, version: str) -> str:
    """Submit the assessment of a data version; return the id of the Dagster run.

    Raises:
        NotFound: the project does not declare the dataset.
        SettingsError: jobs run in this process.
    """
    import dagster as dg

    from mlops_assets.orchestration.submission import Submission

    project.require_instance()
    project.require(dg.AssetKey([dataset, "training_data"]))
    project.sync(dataset)
    return project.submit(Submission(f"{dataset}_assessment", version))


def assess_version(project: Project, dataset: str, version: str) -> Assessment:
    """Materialise the quality report and the record of a data version.

    Raises:
        NotFound: the project does not declare the dataset.
        StepFailure: something other than a check failed.
    """
    import dagster as dg

    from mlops_assets.orchestration.results import CheckFailure
    from mlops_assets.orchestration.submission import Submission

    reference = f"{dataset}@{version}"
    project.require(dg.AssetKey([dataset, "training_data"]))
    project.sync(dataset)
    with interruptible(
        lambda: (
            f"{reference} stays as it was committed; to assess it: mlops dataset assess {reference}"
        )
    ):
        try:
            result = project.launch(Submission(f"{dataset}_assessment", version))
        except CheckFailure as failure:
            return Assessment(reference, failure.checks, [])
    return Assessment(reference, result.checks, record_changes(result, dataset))


def record_changes(result: RunResult, dataset: str) -> list[str]:
    """Return the changes that a run made to the record of a dataset, one line for each field."""
    return texts(result.metadata(dataset, "record")["changed"].value)


def texts(value: object) -> list[str]:
    """Return the texts in a metadata value that is a JSON list."""
    return [str(text) for text in value] if isinstance(value, list) else []


def failed_lines(checks: Sequence[Check]) -> Iterator[str]:
    """Yield one line for each failed check: its severity and the reason."""
    for check in checks:
        if not check.passed:
            yield (
                f"  {'blocks training' if check.blocking else 'warning'}: {check.name}:"
                f" {check.description}"
            )


def change_lines(changes: Sequence[str]) -> Iterator[str]:
    """Yield one line for each change of the record of a dataset."""
    for change in changes:
        yield f"  the dataset's record has changed: {change}"


def described(check: Check) -> dict[str, object]:
    """Return a check as a JSON document."""
    return {
        "name": check.name,
        "passed": check.passed,
        "blocking": check.blocking,
        "description": check.description,
    }
