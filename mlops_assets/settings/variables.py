"""Settings of one part of the code alone, each read where it is used."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlops_assets.errors import SettingsError
from mlops_assets.settings.configuration import CA_BUNDLE, current_environment

# AWS_SECRET_ACCESS_KEY, MLOPS_API_TOKEN, PGPASSWORD, AZURE_STORAGE_ACCOUNT_KEY …; paths of files of
# keys are none
_SECRET_NAME = re.compile(
    r"PASSWORD|PASSWD|SECRET|TOKEN(?!_FILE)|(?:ACCESS|ACCOUNT|API|DELEGATION)_?KEY(?!_FILE)"
)


def trusted_sources() -> frozenset[str]:
    """Return the allowed targets of others' Items, from `MLOPS_TRUSTED_SOURCES`.

    They are hosts, networks, and buckets by URL.

    These are hosts that have no public address, and buckets that are read with this workspace's
    credentials.
    """
    texts = current_environment().get("MLOPS_TRUSTED_SOURCES", "").split(",")
    return frozenset(
        text.strip().rstrip("/") if "://" in text else text.strip() for text in texts
    ) - {""}


def secret_variable(name: str) -> str:
    """Return the secret in an environment variable that a declaration names; empty if not set."""
    return current_environment().get(name, "")


def secret_values() -> frozenset[str]:
    """Return the values of variables that are named like secrets, ours and those of libraries."""
    return frozenset(
        value
        for name, value in current_environment().items()
        if value and _SECRET_NAME.search(name)
    )


def streams_data() -> bool:
    """Return whether training data is read without the decoded cache, by `MLOPS_READING`.

    Raises:
        SettingsError: it is neither `cache` nor `stream`.
    """
    value = current_environment().get("MLOPS_READING") or "cache"
    if value not in ("cache", "stream"):
        raise SettingsError(f"MLOPS_READING={value}: write 'cache' or 'stream'")
    return value == "stream"


def onnx_provider() -> Literal["cpu", "cuda"]:
    """Return the device that maps are predicted on, by `MLOPS_ONNX_PROVIDER`.

    Raises:
        SettingsError: it is neither `cpu` nor `cuda`.
    """
    value = current_environment().get("MLOPS_ONNX_PROVIDER") or "cpu"
    if value not in ("cpu", "cuda"):
        raise SettingsError(f"MLOPS_ONNX_PROVIDER={value}: write 'cpu' or 'cuda'")
    return "cuda" if value == "cuda" else "cpu"


def gpu_label() -> str:
    """Return the label of nodes that names the type of their GPUs, from `MLOPS_GPU_LABEL`.

    The default is that of Nvidia's GPU feature discovery.
    """
    return current_environment().get("MLOPS_GPU_LABEL") or "nvidia.com/gpu.product"


def gpu_image() -> str | None:
    """Return the image of steps that want a GPU (`MLOPS_GPU_IMAGE`); None for that of the run."""
    return current_environment().get("MLOPS_GPU_IMAGE") or None


def step_account() -> str | None:
    """Return the service account of pods of steps (`MLOPS_STEP_ACCOUNT`).

    None for that of the run.
    """
    return current_environment().get("MLOPS_STEP_ACCOUNT") or None


def in_step_pod() -> bool:
    """Return whether this process is a step of a run in a pod, as dagster-k8s marks it."""
    return "DAGSTER_RUN_STEP_KEY" in os.environ


def map_tiles() -> str | None:
    """Return the URL template of map tiles and their attribution (`MLOPS_TILES`), None if unset."""
    return current_environment().get("MLOPS_TILES") or None


def mlm_schema() -> Path | None:
    """Return the schema file of the MLM version of records, from `MLOPS_MLM_SCHEMA`."""
    path = current_environment().get("MLOPS_MLM_SCHEMA")
    return Path(path) if path else None


@dataclass(frozen=True)
class SigningFiles:
    """Files of the key that signs model versions.

    Attributes:
        key: PEM file of the private key.
        password: of that file; None if it has none.
        certificate: PEM file of the key's certificate, and of those that it was issued by; None for
            a key that is trusted itself.
    """

    key: Path
    password: str | None = field(default=None, repr=False)
    certificate: Path | None = None


def signing_files() -> SigningFiles | None:
    """Return the files of the key that signs model versions, or None if none is to be signed.

    They are those of `MLOPS_SIGNING_KEY`, with `MLOPS_SIGNING_PASSWORD`, and of
    `MLOPS_SIGNING_CERTIFICATE`.
    """
    key = current_environment().get("MLOPS_SIGNING_KEY")
    if not key:
        return None
    certificate = current_environment().get("MLOPS_SIGNING_CERTIFICATE")
    return SigningFiles(
        Path(key),
        current_environment().get("MLOPS_SIGNING_PASSWORD") or None,
        Path(certificate) if certificate else None,
    )


def trust_file() -> Path | None:
    """Return the YAML file that names whose signatures of models are trusted: `MLOPS_TRUST`."""
    path = current_environment().get("MLOPS_TRUST")
    return Path(path) if path else None


def registry_now() -> str | None:
    """Return the URL of the registry as it is now; None if it is not set or cannot be read."""
    try:
        return current_environment().get("MLOPS_REGISTRY") or None
    except SettingsError:
        return os.environ.get("MLOPS_REGISTRY") or None


def ca_bundle(also: str | None = None) -> Path | None:
    """Return the PEM file of authorities that are trusted besides the system's own.

    It is that of `MLOPS_CA_BUNDLE`.

    Args:
        also: another variable that may name it.

    Raises:
        SettingsError: it is not there, or has no certificate.
    """
    environment = current_environment()
    name = next((name for name in (CA_BUNDLE, also) if name and environment.get(name)), None)
    if name is None:
        return None
    path = Path(environment[name])
    try:
        has_certificate = b"-----BEGIN CERTIFICATE-----" in path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{name}={path} cannot be read: {error.strerror}; name the PEM file of the authority"
            " that has issued the server's certificate"
        ) from None
    if not has_certificate:
        raise SettingsError(
            f"{name}={path} has no certificate: write it in PEM form, beginning with"
            " -----BEGIN CERTIFICATE-----"
        )
    return path
