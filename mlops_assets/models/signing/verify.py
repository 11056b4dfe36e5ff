"""Verification of the signatures of a model version against the keys that are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlops_assets.errors import (
    IntegrityError,
    SignatureRefused,
    StorageError,
    StorageUnreachable,
)
from mlops_assets.models.signing.bundle import Bundle
from mlops_assets.models.signing.statements import (
    require_files,
    require_provenance,
    signed_files,
)
from mlops_assets.models.signing.trust import Trust
from mlops_assets.paths import model_owner, provenance_key, signature_key, signature_of_key
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.storage import FileStat
from mlops_assets.store import Store


@dataclass(frozen=True)
class CheckedSignature:
    """A signature of a model version, and whether it is accepted.

    Attributes:
        name: of its bundles.
        signer: name of the trusted key or certificate that it is accepted by; None if it is not.
        problem: why it is not accepted; None if it is.
    """

    name: str
    signer: str | None = None
    problem: str | None = None


def require_signature(store: Store, row: ModelVersion) -> None:
    """Check that a model version is signed by someone trusted, where the settings demand it.

    Raises:
        SettingsError: `MLOPS_TRUST` cannot be used.
        SignatureRefused: no signature of it is accepted.
    """
    trust = Trust.configured()
    if trust is None or not trust.required:
        return
    if problems := signature_problems(store, row, trust):
        raise SignatureRefused("; ".join(problems))


def signature_problems(store: Store, row: ModelVersion, trust: Trust) -> list[str]:
    """Return why no signature of a model version is accepted; nothing if one is.

    A version without signatures is no problem where none is required.
    """
    checked = check_signatures(store, row, trust)
    if any(own.problem is None for own in checked):
        return []
    subject = f"{row.model}@{row.version}"
    if not checked and trust.required:
        return [
            f"{subject} has no signature, which {trust.path} requires; run 'mlops model sign"
            f" {subject}' where the key is"
        ]
    return [f"signature {own.name} of {subject} {own.problem}" for own in checked]


def check_signatures(store: Store, row: ModelVersion, trust: Trust) -> list[CheckedSignature]:
    """Check all signatures of a model version.

    Its files are compared by their checksums in the registry; whoever uses one compares its bytes.

    Args:
        store: workspace and registry.
        row: the model version.
        trust: whose signatures are accepted.

    Returns:
        The outcome of each signature, by name.

    Raises:
        StorageUnreachable: the workspace does not answer.
    """
    published = store.registry.files(model_owner(row.model, row.version))
    files = signed_files(row, published)
    return [_checked(store, row, name, trust, files) for name in _names(published)]


def signature_names(store: Store, row: ModelVersion) -> list[str]:
    """Return the names of the signatures of a model version, which are not verified."""
    return _names(store.registry.files(model_owner(row.model, row.version)))


def _names(published: Sequence[FileStat]) -> list[str]:
    return sorted(filter(None, (signature_of_key(file.path) for file in published)))


def _checked(
    store: Store, row: ModelVersion, name: str, trust: Trust, files: dict[str, str]
) -> CheckedSignature:
    try:
        bundle = _bundle(store, signature_key(row.model, row.version, name))
        signer = trust.signer_of(bundle)
        require_files(bundle.statement, row, files)
    except SignatureRefused as error:
        return CheckedSignature(name, problem=str(error))
    try:
        provenance = _bundle(store, provenance_key(row.model, row.version, name))
        trust.signer_of(provenance)
        require_provenance(provenance.statement, row, files)
    except SignatureRefused as error:
        return CheckedSignature(name, problem=f"has a provenance that {error}")
    return CheckedSignature(name, signer)


def _bundle(store: Store, key: str) -> Bundle:
    try:
        return Bundle.read(read_published(store.workspace, store.registry, key))
    except StorageUnreachable:
        raise
    except (StorageError, IntegrityError) as error:
        raise SignatureRefused(f"cannot be read: {error}") from error
