"""Reproduction of a model version: training it again from its record, and comparing both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from mlops_assets.errors import NotReproducible
from mlops_assets.models.evaluation.evaluate import evaluate_version
from mlops_assets.models.export.export import export
from mlops_assets.models.native import native_files
from mlops_assets.models.signature import data_for, stored_scaling
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.model_documents import Signature
from mlops_assets.runs.environment import environment_versions, recorded_environment
from mlops_assets.store import Store
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets.training import provenance
from mlops_assets.training.process.run_progress import followed
from mlops_assets.training.process.supervisor import train_supervised
from mlops_assets.training.request import TrainingRequest
from mlops_assets.training.trainers import load_trainer

# of the run that trains again: the model version
TAG = "reproduces"
# changes that a message lists
NAMED = 5

Value = TypeVar("Value", str, float)


@dataclass(frozen=True)
class Change:
    """A property of a run that has changed since it was recorded.

    Attributes:
        what: `code`, `trainer`, `inputs`, `bands`, `scaling`, `task`, `package NAME`, `python` or
            `hardware NAME`.
        recorded: value at that time; None if there was none.
        now: value now; None if there is none.
        forbids: whether training again would not be the same work: it is refused unless changes
            are allowed.
    """

    what: str
    recorded: Json
    now: Json
    forbids: bool

    def __str__(self) -> str:
        recorded = "absent" if self.recorded is None else self.recorded
        now = "absent" if self.now is None else self.now
        return f"{self.what}: {recorded} → {now}"


@dataclass(frozen=True)
class Match(Generic[Value]):
    """One result of the recorded run, and of the run that trained again."""

    what: str
    recorded: Value | None
    now: Value | None

    @property
    def equal(self) -> bool:
        """True if they are exactly the same."""
        return self.recorded == self.now


@dataclass(frozen=True)
class Reproduction:
    """The outcome of training again.

    Attributes:
        original: the model version that was reproduced.
        made: the model version of the reproduction.
        changes: differences from the record.
        artefacts: sha256 of the native files. ONNX files contain the name of their version, and so
            always differ.
        metrics: those of the recorded run, logged ones and of the test split.
    """

    original: ModelVersion
    made: ModelVersion
    changes: Sequence[Change]
    artefacts: Sequence[Match[str]]
    metrics: Sequence[Match[float]]

    @property
    def same_artefacts(self) -> bool:
        """True if every native file is the same, byte by byte."""
        return bool(self.artefacts) and all(match.equal for match in self.artefacts)

    @property
    def same_metrics(self) -> bool:
        """True if every metric is exactly the same."""
        return all(match.equal for match in self.metrics)

    @property
    def matches(self) -> bool:
        """True if the reproduction gave the same model."""
        return self.same_artefacts and self.same_metrics

    def document(self) -> JsonObject:
        """Return everything as JSON values."""
        return {
            "reproduces": f"{self.original.model}@{self.original.version}",
            "model_version": f"{self.made.model}@{self.made.version}",
            "run_id": self.made.run_id,
            "matches": self.matches,
            "changes": [
                {"what": change.what, "recorded": change.recorded, "now": change.now}
                for change in self.changes
            ],
            "artefacts": [_document(match) for match in self.artefacts],
            "metrics": [_document(match) for match in self.metrics],
        }


def reproduce(
    store: Store, specification: ModelSpecification, row: ModelVersion, allow_changes: bool = False
) -> Reproduction:
    """Train again with the recorded data, parameters and seed, export, evaluate and compare both.

    The new model version is one like any other, without alias; its run is tagged with the version
    it reproduces.

    Args:
        store: the project's storage.
        specification: the model as it is declared now.
        row: the model version to reproduce.
        allow_changes: train even though the code or the declaration has changed.

    Raises:
        NotReproducible: it is external, or the code or the declaration has changed.
        TrainerError: training fails.
        ParityError: the model cannot be exported.
    """
    run = store.registry.run_of(row)
    changes = changes_since(store, specification, row, run)
    forbidding = [change for change in changes if change.forbids]
    if forbidding and not allow_changes:
        listed = "; ".join(str(change) for change in forbidding[:NAMED])
        more = f"; and {len(forbidding) - NAMED} more" if len(forbidding) > NAMED else ""
        raise NotReproducible(
            f"{row.model}@{row.version} cannot be reproduced: {listed}{more}; restore the recorded"
            f" state{_how_to_restore(run, forbidding)}, or use --allow-changes"
        )
    request = TrainingRequest(
        specification=specification,
        data_version=row.data_version,
        parameters=run.parameters,
        seed=run.seed,
        tags={TAG: row.version},
    )
    what = f"training {row.model}@{row.version} again"
    with followed(store.registry, request.run_id, what, run.parameters):
        made = train_supervised(store, request)
    export(store, specification, made)
    evaluate_version(store, specification, made)
    made = store.registry.model_version(Reference(made.model, made.version))
    now = store.registry.run(made.run_id).metrics
    metrics = [Match(name, value, now.get(name)) for name, value in run.metrics.items()]
    before = _checksums(store, row)
    after = _checksums(store, made)
    artefacts = [
        Match(name, before.get(name), after.get(name)) for name in sorted({*before, *after})
    ]
    return Reproduction(row, made, changes, artefacts, metrics)


def _checksums(store: Store, row: ModelVersion) -> dict[str, str]:
    """Return native file → sha256 of a model version."""
    return {name: file.sha256 for name, file in native_files(store, row).items()}


def changes_since(
    store: Store, specification: ModelSpecification, row: ModelVersion, run: Run
) -> list[Change]:
    """Return the changes since a model version was trained.

    Raises:
        NotReproducible: it is external, or the model is declared on another dataset now.
    """
    if run.source != "platform":
        raise NotReproducible(
            f"{row.model}@{row.version} is external (source {run.source}); train it again on the"
            " platform that it comes from"
        )
    if specification.dataset != row.dataset:
        raise NotReproducible(
            f"{row.model}@{row.version} was trained on {row.dataset}, and {row.model} is declared"
            f" on {specification.dataset} now; declare it on {row.dataset} again"
        )
    return [
        *_declared(store, specification, row, run),
        *_installed(recorded_environment(store, run)),
        *_hardware(run.hardware),
    ]


def _declared(
    store: Store, specification: ModelSpecification, row: ModelVersion, run: Run
) -> list[Change]:
    data = data_for(store, specification, row.data_version)
    code = provenance.code_version(load_trainer(specification.trainer).file)
    signature = Signature.of(row)
    facts: dict[str, tuple[Json, Json]] = {
        "code": (run.code_version, code),
        "trainer": (run.trainer, specification.trainer),
        "task": (row.task, specification.task),
        "inputs": (signature.view, data.view),
        "bands": ([*signature.features], [*data.features]),
        "scaling": (_json(signature.scaling), _json(stored_scaling(data.scaling))),
        "data": (run.data_digest, data.digest),
    }
    return [Change(what, was, now, True) for what, (was, now) in facts.items() if was != now]


def _json(scaling: Sequence[Mapping[str, Json]] | None) -> Json:
    return None if scaling is None else [dict(entry) for entry in scaling]


def _installed(recorded: Mapping[str, str] | None) -> list[Change]:
    if recorded is None:
        return []
    now = environment_versions(provenance.environment())
    return [
        Change(
            name if name == "python" else f"package {name}",
            recorded.get(name),
            now.get(name),
            False,
        )
        for name in sorted({*recorded, *now}, key=str.lower)
        if recorded.get(name) != now.get(name)
    ]


def _hardware(recorded: Mapping[str, Json]) -> list[Change]:
    now = provenance.hardware()
    names = ["machine", "gpus"]
    # older runs have no name of their processor
    if "cpu" in recorded:
        names.append("cpu")
    return [
        Change(f"hardware {name}", recorded.get(name), now.get(name), False)
        for name in names
        if recorded.get(name) != now.get(name)
    ]


def _how_to_restore(run: Run, changes: Sequence[Change]) -> str:
    """Return the instructions to restore the code, if it differs and was committed."""
    commit = run.code.get("commit")
    if commit is None or not any(change.what == "code" for change in changes):
        return ""
    patch = (
        f" and apply the patch kept as object {run.code['diff'][:12]}"
        if run.code.get("diff")
        else ""
    )
    return f" (git checkout {commit}{patch})"


def _document(match: Match[str] | Match[float]) -> JsonObject:
    return {"what": match.what, "recorded": match.recorded, "now": match.now, "equal": match.equal}
