"""Settings of one part of the code alone, each read where it is used."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlops_assets.errors import SettingsError


def trusted_sources() -> frozenset[str]:
    """Return the allowed targets of others' Items, from `MLOPS_TRUSTED_SOURCES`.

    They are hosts, networks, and buckets by URL.

    These are hosts that have no public address, and buckets that are read with this workspace's
    credentials.
    """
    texts = os.environ.get("MLOPS_TRUSTED_SOURCES", "").split(",")
    return frozenset(
        text.strip().rstrip("/") if "://" in text else text.strip() for text in texts
    ) - {""}


def secret_variable(name: str) -> str:
    """Return the secret in an environment variable that a declaration names; empty if not set."""
    return os.environ.get(name, "")


def streams_data() -> bool:
    """Return whether training data is read without the decoded cache, by `MLOPS_READING`.

    Raises:
        SettingsError: it is neither `cache` nor `stream`.
    """
    value = os.environ.get("MLOPS_READING") or "cache"
    if value not in ("cache", "stream"):
        raise SettingsError(f"MLOPS_READING={value}: write 'cache' or 'stream'")
    return value == "stream"


def onnx_provider() -> Literal["cpu", "cuda"]:
    """Return the device that maps are predicted on, by `MLOPS_ONNX_PROVIDER`.

    Raises:
        SettingsError: it is neither `cpu` nor `cuda`.
    """
    value = os.environ.get("MLOPS_ONNX_PROVIDER") or "cpu"
    if value not in ("cpu", "cuda"):
        raise SettingsError(f"MLOPS_ONNX_PROVIDER={value}: write 'cpu' or 'cuda'")
    return "cuda" if value == "cuda" else "cpu"


def map_tiles() -> str | None:
    """Return the URL template of map tiles and their attribution (`MLOPS_TILES`), None if unset."""
    return os.environ.get("MLOPS_TILES") or None


def mlm_schema() -> Path | None:
    """Return the schema file of the MLM version of records, from `MLOPS_MLM_SCHEMA`."""
    path = os.environ.get("MLOPS_MLM_SCHEMA")
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
    key = os.environ.get("MLOPS_SIGNING_KEY")
    if not key:
        return None
    certificate = os.environ.get("MLOPS_SIGNING_CERTIFICATE")
    return SigningFiles(
        Path(key),
        os.environ.get("MLOPS_SIGNING_PASSWORD") or None,
        Path(certificate) if certificate else None,
    )


def trust_file() -> Path | None:
    """Return the YAML file that names whose signatures of models are trusted: `MLOPS_TRUST`."""
    path = os.environ.get("MLOPS_TRUST")
    return Path(path) if path else None
