"""An InferenceService of KServe over a Triton repository in object storage.

The repository is written beside it; nothing is uploaded, and no credentials are read or written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mlops_assets.errors import ExportError
from mlops_assets.integrations.model_export import triton
from mlops_assets.integrations.model_export.source import ExportSource
from mlops_assets.names import kubernetes_name
from mlops_assets.text.secret_urls import redacted

REPOSITORY = "repository"
MANIFEST = "inferenceservice.yaml"
SCHEMES = ("s3", "gs", "https", "pvc", "hdfs", "abfs")
_GROUP = "serving.kserve.io"
# a label of DNS, as names of Kubernetes' objects are
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class ObjectStorage:
    """Where KServe reads the model, and what it needs for that.

    Attributes:
        url: of the folder that `repository/` is uploaded to.
        endpoint: host and port of an S3 endpoint, as a URL; that of AWS if None.
        ca: name of a ConfigMap with the certificate of the endpoint's authority.
        secret: name of a Secret with credentials.
        namespace: of the service; that of the command which applies it if None.
    """

    url: str
    endpoint: str | None = None
    ca: str | None = None
    secret: str | None = None
    namespace: str | None = None


@dataclass(frozen=True)
class Predictor:
    """How a service runs, where that is declared.

    Attributes:
        name: of the service.
        replicas: at least, and at most where there is any; 0 stops the service while it is idle.
        resources: requests and limits of a replica's container.
        logger: URL that requests and answers are sent to; None if they are not.
    """

    name: str
    replicas: int
    resources: dict[str, dict[str, str]]
    logger: str | None = None


def write(
    source: ExportSource,
    folder: Path,
    storage: ObjectStorage | None,
    predictor: Predictor | None = None,
) -> list[str]:
    """Write the service's manifests and the repository; there are no warnings.

    Args:
        source: the model version.
        folder: to write.
        storage: where KServe reads the model.
        predictor: how the service runs; as KServe has it if None.

    Raises:
        ExportError: the URL is missing or of a kind that KServe does not read, or a name is not
            one of Kubernetes.
    """
    import yaml

    if storage is None:
        raise ExportError("name where KServe will read the model: --url s3://BUCKET/FOLDER")
    require_usable(storage)
    triton.write(source, folder / REPOSITORY)
    documents = manifests(source, storage, predictor)
    text = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)
    (folder / MANIFEST).write_text(text)
    return []


def manifests(
    source: ExportSource, storage: ObjectStorage, declared: Predictor | None = None
) -> list[dict[str, object]]:
    """Return the manifests: for a Secret its annotations and a ServiceAccount, then the service."""
    name = kubernetes_name(source.row.model) if declared is None else declared.name
    model: dict[str, object] = {
        "modelFormat": {"name": "onnx"},
        "protocolVersion": "v2",
        "storageUri": storage.url.rstrip("/"),
    }
    predictor: dict[str, object] = {"model": model}
    if declared is not None:
        model["resources"] = declared.resources
        # a maximum of 0 would be any number
        most = max(1, declared.replicas)
        predictor |= {"minReplicas": declared.replicas, "maxReplicas": most}
        if declared.logger:
            predictor["logger"] = {"mode": "all", "url": declared.logger}
    documents: list[dict[str, object]] = []
    if storage.secret:
        account = f"{name}-storage"
        predictor["serviceAccountName"] = account
        documents = [
            _object("v1", "Secret", _metadata(storage, storage.secret, _s3(storage))),
            _object("v1", "ServiceAccount", _metadata(storage, account))
            | {"secrets": [{"name": storage.secret}]},
        ]
    described = _metadata(storage, name, source.provenance)
    service = _object(f"{_GROUP}/v1beta1", "InferenceService", described)
    return [*documents, service | {"spec": {"predictor": predictor}}]


def require_usable(storage: ObjectStorage) -> None:
    """Check where a model is read from, and the names of Kubernetes' objects.

    Raises:
        ExportError: the URL is of a kind that KServe does not read, or a name is not one of
            Kubernetes.
    """
    parts = urlsplit(storage.url)
    if parts.scheme not in SCHEMES or not parts.netloc or redacted(storage.url) != storage.url:
        raise ExportError(
            f"{redacted(storage.url)} is not a URL that KServe reads a model from: name one of"
            f" {', '.join(f'{scheme}://' for scheme in SCHEMES)}, without credentials"
        )
    endpoint = urlsplit(storage.endpoint or "https://s3.amazonaws.com")
    if endpoint.scheme not in ("http", "https") or not endpoint.hostname or "@" in endpoint.netloc:
        raise ExportError(
            f"{redacted(storage.endpoint or '')} is not the URL of an endpoint, such as"
            " https://minio.example.org:9000"
        )
    if not storage.secret and (storage.endpoint or storage.ca):
        raise ExportError(
            "KServe reads endpoint and authority from the annotations of a Secret; name it:"
            " --secret NAME"
        )
    names = {"--secret": storage.secret, "--ca": storage.ca, "--namespace": storage.namespace}
    for option, name in names.items():
        if name and not _NAME.fullmatch(name):
            raise ExportError(
                f"{option} {name} is not a name of Kubernetes: lower-case letters, digits and '-'"
            )


def _s3(storage: ObjectStorage) -> dict[str, str]:
    """Return the annotations of a Secret by which KServe finds its S3 endpoint."""
    found = {}
    if storage.endpoint:
        parts = urlsplit(storage.endpoint)
        found[f"{_GROUP}/s3-endpoint"] = parts.netloc
        found[f"{_GROUP}/s3-usehttps"] = "1" if parts.scheme == "https" else "0"
    if storage.ca:
        found[f"{_GROUP}/s3-cabundle-configmap"] = storage.ca
    return found


def _metadata(
    storage: ObjectStorage, name: str, annotations: dict[str, str] | None = None
) -> dict[str, object]:
    found: dict[str, object] = {"name": name}
    if storage.namespace:
        found["namespace"] = storage.namespace
    if annotations:
        found["annotations"] = dict(annotations)
    return found


def _object(version: str, kind: str, metadata: dict[str, object]) -> dict[str, object]:
    return {"apiVersion": version, "kind": kind, "metadata": metadata}
