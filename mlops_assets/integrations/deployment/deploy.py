"""Deploying a model version, and undeploying it: files are written, the registry records it.

Nothing is applied to a cluster or started; the commands that do so are returned.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

from mlops_assets.errors import ExportError, NotFound, PromotionRefused
from mlops_assets.integrations.deployment.engines import WRITERS
from mlops_assets.integrations.deployment.files import (
    CURRENT,
    FILE,
    FOLDER,
    HOST,
    out_folder,
    remove_current,
    summary,
    write_folder,
)
from mlops_assets.integrations.deployment.standing import (
    active_deployment,
    is_rollback,
    require_deployable,
)
from mlops_assets.integrations.model_export.source import ExportSource
from mlops_assets.models.approval.reason import check_reason
from mlops_assets.names import Reference, kubernetes_name
from mlops_assets.principals import Role, Visibility
from mlops_assets.progress import step
from mlops_assets.registry import Deployment, ModelVersion
from mlops_assets.registry.promotion.deployments import DEPLOYED, UNDEPLOYED
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.store import Store

# keys of the details of a deployment
URL = "url"
ROLLBACK = "rollback"
CHOSEN = "chosen"


@dataclass(frozen=True)
class Deployed:
    """A deployment, or its end.

    Attributes:
        record: of the registry.
        row: the model version.
        previous: version that the service served before; None if none.
        rollback: whether it is older than the one before.
        folder: with its files; None if it has none.
        files: path in the folder → sha256.
        next_steps: commands that bring it into use.
    """

    record: Deployment
    row: ModelVersion
    previous: str | None
    rollback: bool = False
    folder: Path | None = None
    files: dict[str, str] = field(default_factory=dict)
    next_steps: list[str] = field(default_factory=list)


def deploy(
    store: Store,
    specification: ServiceSpecification,
    row: ModelVersion,
    reason: str | None = None,
    chosen: bool = False,
) -> Deployed:
    """Deploy a promoted model version for the engine of a service.

    Args:
        store: workspace and registry; the principal deploys.
        specification: of the service.
        row: the model version.
        reason: why.
        chosen: whether somebody has chosen the version, whatever the alias names.

    Returns:
        The deployment. A version older than the one before is a rollback.

    Raises:
        DecisionRefused: the reason is not a short, plain text.
        ExportError: the version is private or not recorded, or lacks what the engine requires.
        Forbidden: the principal is not an approver.
        IntegrityError: a file is not as it was published; nothing is written.
        PromotionRefused: it was never promoted to the alias of the service, or was withdrawn.
        SignatureRefused: `MLOPS_TRUST` requires a signature that it does not have.
        StorageError: files cannot be written.
    """
    check_reason(reason)
    registry = store.registry
    name, subject = specification.name, f"{row.model}@{row.version}"
    registry.principal.require(Role.APPROVER, f"deploy {subject} in {name}")
    require_deployable(registry, specification, row)
    with registry.lock(f"service {name}"), step(f"deploying {subject} in {name}"):
        source = ExportSource.open(store, row)
        before = active_deployment(registry, name)
        rollback = is_rollback(registry, row, name)
        marks = {ROLLBACK: rollback, CHOSEN: chosen}
        details = {mark: "true" for mark, holds in marks.items() if holds}
        folder: Path | None = None
        files: dict[str, str] = {}
        if specification.engine == "embedded":
            _require_aliased(store, specification, row)
            steps = [f"mlops serve {row.model}@{specification.alias}"]
            details[URL] = specification.url
        else:
            folder, files, steps = _written(source, specification)
            details |= {HOST: socket.gethostname(), FOLDER: str(folder)}
            details |= {f"{FILE}{path}": sha256 for path, sha256 in summary(files).items()}
        if specification.engine == "docker":
            details[URL] = specification.url
        record = registry.record_deployment(
            Deployment(
                service=name,
                model=row.model,
                version=row.version,
                engine=specification.engine,
                action=DEPLOYED,
                sha256=source.sha256,
                details=details,
                reason=reason,
            )
        )
    previous = before.version if before else None
    return Deployed(record, row, previous, rollback, folder, files, steps)


def undeploy(
    store: Store, specification: ServiceSpecification, reason: str | None = None
) -> Deployed:
    """Record that a service serves nothing any more; former files stay, without their link.

    Args:
        store: workspace and registry; the principal undeploys.
        specification: of the service.
        reason: why.

    Raises:
        DecisionRefused: the reason is not a short, plain text.
        Forbidden: the principal is not an approver.
        NotFound: the service serves nothing.
        StorageError: the link to its files cannot be removed.
    """
    check_reason(reason)
    registry = store.registry
    name = specification.name
    registry.principal.require(Role.APPROVER, f"undeploy {name}")
    with registry.lock(f"service {name}"):
        active = active_deployment(registry, name)
        if active is None:
            raise NotFound(f"{name} serves nothing; see 'mlops service list'")
        row = registry.model_version(Reference(active.model, active.version))
        out = None if active.engine == "embedded" else out_folder(store, specification)
        if out is not None:
            remove_current(out)
        kept = {key: active.details[key] for key in (URL, HOST, FOLDER) if key in active.details}
        record = registry.record_deployment(
            Deployment(
                service=name,
                model=active.model,
                version=active.version,
                engine=active.engine,
                action=UNDEPLOYED,
                sha256=active.sha256,
                details=kept,
                reason=reason,
            )
        )
    steps = _ending(specification, active)
    return Deployed(record, row, active.version, next_steps=steps)


def _written(
    source: ExportSource, specification: ServiceSpecification
) -> tuple[Path, dict[str, str], list[str]]:
    row, out = source.row, out_folder(source.store, specification)
    if row.visibility == Visibility.PRIVATE:
        raise ExportError(
            f"{source.reference} is private, and files of a deployment are readable by all who get"
            f" them; run 'mlops model visibility {source.reference} workspace' first"
        )
    write = WRITERS[specification.engine]

    def whole(folder: Path) -> list[str]:
        return write(source, specification, folder)

    folder, files, steps = write_folder(out, row.version, whole)
    return folder, files, [line.replace("{current}", str(out / CURRENT)) for line in steps]


def _require_aliased(store: Store, specification: ServiceSpecification, row: ModelVersion) -> None:
    """Check that a server of our own would serve a version: it serves what the alias names."""
    served = store.registry.aliases(row.model).get(specification.alias)
    if served != row.version:
        raise PromotionRefused(
            f"'mlops serve' serves what {row.model}@{specification.alias} names, which is"
            f" {served}, not {row.version}; move the alias: 'mlops model rollback {row.model}' or"
            f" 'mlops model promote {row.model}@{row.version}'"
        )


def _ending(specification: ServiceSpecification, active: Deployment) -> list[str]:
    """Return the commands that end what an engine runs."""
    name = kubernetes_name(specification.name)
    space = f" --namespace {specification.namespace}" if specification.namespace else ""
    return {
        "embedded": [f"stop 'mlops serve', or unload {active.model} there"],
        "docker": [f"docker stop {name}"],
        "kserve": [f"kubectl delete{space} inferenceservice {name}"],
        "seldon": [f"kubectl delete{space} models.mlops.seldon.io {name}"],
        "triton": [f"remove {active.model} from the model repository of Triton"],
    }[active.engine]
