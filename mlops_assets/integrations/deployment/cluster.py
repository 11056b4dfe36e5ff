"""Files for engines on a cluster: Triton's repository, and manifests of KServe and Seldon Core 2.

Each writer returns the commands that bring the files into use; nothing is uploaded or applied.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from mlops_assets.errors import ExportError
from mlops_assets.integrations.model_export import kserve, triton
from mlops_assets.integrations.model_export.kserve import (
    REPOSITORY,
    ObjectStorage,
    Predictor,
    require_usable,
)
from mlops_assets.integrations.model_export.source import ExportSource
from mlops_assets.models.compute import Compute
from mlops_assets.names import kubernetes_name
from mlops_assets.serving.specification import ServiceSpecification

# of `mlops serve`, which takes KServe's CloudEvents
CLOUD_EVENTS = "/v2/log/cloudevents"
SELDON_MANIFEST = "model.yaml"


def write_triton(
    source: ExportSource, specification: ServiceSpecification, folder: Path
) -> list[str]:
    """Write a model repository of Triton.

    Raises:
        ExportError: an input or output is of a type that Triton does not have.
    """
    triton.write(source, folder / REPOSITORY)
    return [f"tritonserver --model-repository={{current}}/{REPOSITORY}"]


def write_kserve(
    source: ExportSource, specification: ServiceSpecification, folder: Path
) -> list[str]:
    """Write an InferenceService, and the Triton repository that it reads from object storage.

    Raises:
        ExportError: the URL is not one that KServe reads, or a name is not one of Kubernetes.
    """
    url = storage_url(source, specification)
    storage = ObjectStorage(url, secret=specification.secret, namespace=specification.namespace)
    log = specification.log.url
    predictor = Predictor(
        name=kubernetes_name(specification.name),
        replicas=specification.replicas,
        resources=resources(specification.resources),
        logger=None if log is None else f"{log.rstrip('/')}{CLOUD_EVENTS}",
    )
    kserve.write(source, folder, storage, predictor)
    return [
        f"{_upload(url)}",
        f"kubectl apply --server-side{_namespace(specification)} -f {{current}}/{kserve.MANIFEST}",
    ]


def write_seldon(
    source: ExportSource, specification: ServiceSpecification, folder: Path
) -> list[str]:
    """Write a `Model` of Seldon Core 2, and the Triton repository that it reads.

    Its fields are those of the custom resource `models.mlops.seldon.io`, v1alpha1.

    Raises:
        ExportError: the URL has no scheme or has credentials, or a name is not one of Kubernetes.
    """
    import yaml

    url = storage_url(source, specification)
    require_usable(
        ObjectStorage(url, secret=specification.secret, namespace=specification.namespace)
    )
    triton.write(source, folder / REPOSITORY)
    metadata: dict[str, object] = {
        "name": kubernetes_name(specification.name),
        "annotations": dict(source.provenance),
    }
    if specification.namespace:
        metadata["namespace"] = specification.namespace
    spec: dict[str, object] = {
        "storageUri": f"{url}/{source.row.model}",
        "requirements": ["triton", "onnx"],
        "memory": specification.resources.memory,
        "replicas": specification.replicas,
    }
    if specification.secret:
        spec["secretName"] = specification.secret
    manifest = {
        "apiVersion": "mlops.seldon.io/v1alpha1",
        "kind": "Model",
        "metadata": metadata,
        "spec": spec,
    }
    text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True)
    (folder / SELDON_MANIFEST).write_text(text)
    return [
        f"{_upload(url)}",
        f"kubectl apply --server-side{_namespace(specification)} -f {{current}}/{SELDON_MANIFEST}",
    ]


def storage_url(source: ExportSource, specification: ServiceSpecification) -> str:
    """Return the URL that a version's repository is uploaded to.

    Each version has a folder of its own, so that the manifest of another version is another one,
    and the cluster loads it.

    Raises:
        ExportError: none is declared.
    """
    if specification.storage is None:
        raise ExportError(
            f"{specification.name} declares no storage that {specification.engine} reads the model"
            " from; declare e.g. 'storage: s3://BUCKET/FOLDER'"
        )
    return f"{specification.storage.rstrip('/')}/{source.row.model}/{source.row.version}"


def resources(compute: Compute) -> dict[str, dict[str, str]]:
    """Return the requests and limits of a container on Kubernetes."""
    limits = {"memory": compute.memory}
    if compute.gpus:
        limits["nvidia.com/gpu"] = str(compute.gpus)
    return {"requests": {"cpu": f"{compute.cpus:g}", "memory": compute.memory}, "limits": limits}


def _upload(url: str) -> str:
    """Return the command that uploads a repository, where rclone has a remote of the scheme."""
    parts = urlsplit(url)
    if parts.scheme == "pvc":
        return f"copy {{current}}/{REPOSITORY} to {url}"
    remote = f"{parts.scheme}:{parts.netloc}{parts.path}"
    return f"rclone copy --copy-links {{current}}/{REPOSITORY} {remote}"


def _namespace(specification: ServiceSpecification) -> str:
    return f" --namespace {specification.namespace}" if specification.namespace else ""
