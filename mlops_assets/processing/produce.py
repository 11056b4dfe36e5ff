"""The making of a data version: a function in a process of its own, and the commit of its files.

The version is published whole or not at all; what the function has written is in a scratch folder
until then.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.datasets.commit.commit import Commit, Made, commit
from mlops_assets.datasets.recall.recall import recall
from mlops_assets.datasets.sources import LandedFile, Landing
from mlops_assets.datasets.sources.folder import FolderLanding
from mlops_assets.datasets.sources.stac.landing import StacLanding
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.version_document import InputVersion, Processing
from mlops_assets.errors import (
    DataProblems,
    EmptyLanding,
    ProcessingError,
    SpecificationError,
    TrainerError,
    named_error,
)
from mlops_assets.models.parameters import document
from mlops_assets.models.publish import code_document, store_changes
from mlops_assets.names import Reference
from mlops_assets.paths import data_log_key, data_owner
from mlops_assets.principals import Role
from mlops_assets.processing.function import load_processing
from mlops_assets.processing.specification import ProcessedDatasetSpecification
from mlops_assets.processing.worker import MODULE, ProcessingRequest
from mlops_assets.progress import step
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject
from mlops_assets.training import provenance
from mlops_assets.training.functions import UserFunction
from mlops_assets.training.process.child_process import ChildOutcome, read_outcome, write_request
from mlops_assets.training.process.start import Worker
from mlops_assets.training.process.supervisor import end_of, keep_log, run_worker

log = logging.getLogger(__name__)


class OutputLanding(FolderLanding):
    """The folder that a function has written to."""

    def settled(self, file: LandedFile, listed: float) -> bool:
        """Return False: the folder is removed, so that no file in it is to be remembered.

        Args:
            file: not used.
            listed: not used.
        """
        return False


@dataclass(frozen=True)
class ProcessingJob:
    """What is to be made.

    Attributes:
        specification: the dataset as declared.
        input_version: version or tag of its first input; the newest if None.
        parameters: values for the function; as declared if None.
    """

    specification: ProcessedDatasetSpecification
    input_version: str | None = None
    parameters: dict[str, object] | None = None

    @property
    def subject(self) -> str:
        """What it does, for messages."""
        return f"{self.specification.function} for {self.specification.name}"


@dataclass(frozen=True)
class _Output:
    """What a function has left besides its files: its notes, and the end of what it printed."""

    notes: list[str]
    log: bytes


@dataclass(frozen=True)
class _Folders:
    """The folders of one run, all below one scratch folder."""

    root: Path

    @property
    def inputs(self) -> Path:
        return self.root / "inputs"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def directory(self) -> Path:
        return self.root / "scratch"

    @property
    def job(self) -> Path:
        return self.root / "job"

    def make(self) -> None:
        for folder in (self.inputs, self.output, self.directory, self.job):
            folder.mkdir()

    def strays(self) -> list[str]:
        """Return what lies beside these folders, and only a function can have put there."""
        known = {self.inputs, self.output, self.directory, self.job}
        return sorted(path.name for path in self.root.iterdir() if path not in known)


def produce(store: Store, job: ProcessingJob) -> Commit:
    """Make a data version from versions of other datasets, and commit it.

    The same inputs, code, parameters and files return the existing version.

    Args:
        store: the project's storage.
        job: what is to be made.

    Raises:
        ProcessingError: the parameters are refused, the function fails, exceeds its compute, or
            writes nothing that can be committed; nothing was published.
        NotFound: there is no such input version.
        IntegrityError: a file of an input is not as it was committed.
        StorageError: the workspace cannot be read or written.
        Forbidden: whoever acts may not publish data versions; nothing was started.
    """
    store.registry.principal.require(Role.SCIENTIST, "publish data version")
    specification = job.specification
    function = load_processing(specification.function)
    given = specification.params if job.parameters is None else job.parameters
    parameters = document(function.parameters(given))
    inputs = list(_inputs(store, job))
    code = provenance.code_state(function.file)
    processing = _processing(store, function, code, inputs, parameters)
    names = ", ".join(committed.reference for committed in inputs)
    with scratch_folder(f"processing-{specification.name}") as root:
        folders = _Folders(root)
        folders.make()
        # root may write to any file: a hard link to an object is safe from others only
        copied = os.geteuid() == 0
        for version in inputs:
            recall(version, folders.inputs / version.row.dataset, copy=copied)
        with step(f"processing {names}"):
            output = _run(store, job, inputs, folders, parameters)
        strays = folders.strays()
        if strays:
            raise ProcessingError(
                f"{job.subject} wrote {', '.join(strays)} beside its output folder; write below"
                " 'output'; nothing was committed"
            )
        with store.registry.storing(), _output_explained(job, folders.output):
            # since it was stored, the function has run, for as long as it takes
            if code[1] is not None:
                store_changes(store, code[1])
            made = Made(_output(specification, folders.output), processing, output.notes)
            # stored again even if known, which repairs damaged objects as `--rehash` does
            committed = commit(
                store.workspace, store.registry, specification, rehash=True, made=made
            )
        if committed.created:
            row = committed.version
            key = data_log_key(row.dataset, row.version)
            owner = data_owner(row.dataset, row.version)
            keep_log(store, f"{row.dataset}@{row.version}", key, owner, output.log)
        return committed


def _inputs(store: Store, job: ProcessingJob) -> Iterator[CommittedDataset]:
    """Open the data versions that are processed."""
    for number, reference in enumerate(job.specification.input_references):
        wanted = reference if number else Reference(reference.name, job.input_version)
        yield CommittedDataset.open(store.workspace, store.registry, wanted)


def _processing(
    store: Store,
    function: UserFunction,
    code: tuple[str, str | None],
    inputs: Sequence[CommittedDataset],
    parameters: JsonObject,
) -> Processing:
    version, changes = code
    return Processing.model_validate(
        {
            "inputs": [
                InputVersion(dataset=row.dataset, version=row.version, digest=row.digest)
                for row in (committed.row for committed in inputs)
            ],
            "function": function.name,
            "source": provenance.source_digest(function.file.resolve().parent),
            "parameters": parameters,
            "code": code_document(store, version, changes),
        }
    )


def _run(
    store: Store,
    job: ProcessingJob,
    inputs: Sequence[CommittedDataset],
    folders: _Folders,
    parameters: JsonObject,
) -> _Output:
    """Call the function in a process of its own."""
    compute = job.specification.compute
    request = ProcessingRequest(
        workspace=store.workspace.url,
        cache=store.workspace.cache,
        registry=store.registry.url,
        principal=store.registry.principal,
        import_path=[str(Path(entry).resolve()) for entry in sys.path],
        function=job.specification.function,
        inputs=[committed.reference for committed in inputs],
        folders=[folders.inputs / committed.row.dataset for committed in inputs],
        output=folders.output,
        directory=folders.directory,
        parameters=dict(parameters),
        gpus=compute.gpus,
    )
    path = write_request(folders.job, request)
    with (folders.job / "log.txt").open("w+b") as output:
        try:
            reason = run_worker(Worker(MODULE, path, compute), store.registry.url, output)
        except TrainerError as error:
            raise ProcessingError(f"{job.subject}: {error}") from error
        printed = end_of(output)
    outcome = read_outcome(path) or ChildOutcome()
    # a thread of a function that has returned can still exceed a limit, in the middle of a file
    if reason is None and outcome.result is not None:
        return _Output(json.loads(outcome.result), printed)
    reported = named_error(outcome.error, outcome.message, ProcessingError)
    if reason is None and reported is not None:
        raise reported
    problem = reason or outcome.message or "exited unexpectedly"
    raise ProcessingError(f"{job.subject} {problem}; nothing was committed")


def _output(specification: ProcessedDatasetSpecification, folder: Path) -> Landing:
    """Return what a function has written, as the layout reads it."""
    written = OutputLanding(folder)
    if specification.source.layout != "stac":
        return written
    return StacLanding(written.url, written, specification.source.stac_layout)


@contextmanager
def _output_explained(job: ProcessingJob, output: Path) -> Iterator[None]:
    """Name the function in errors of what it has written."""
    try:
        yield
    except EmptyLanding as error:
        raise ProcessingError(
            f"{job.subject} wrote no file that layout {job.specification.source.layout!r} reads to"
            f" its output folder; nothing was committed: {_relative(error, output)}"
        ) from error
    except (DataProblems, SpecificationError) as error:
        raise ProcessingError(
            f"what {job.subject} wrote cannot be committed: {_relative(error, output)}"
        ) from error


def _relative(error: Exception, output: Path) -> str:
    """Return a message without the scratch folder, which is gone when it is read."""
    return str(error).replace(str(output), "output").replace("landing output", "its output")
