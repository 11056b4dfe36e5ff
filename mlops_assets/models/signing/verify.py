"""Verification of the signatures of a model version against the keys that are trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from mlops_assets.errors import (
    IntegrityError,
    SignatureRefused,
    StorageError,
    StorageUnreachable,
)
from mlops_assets.models.signing.bundle import Bundle
from mlops_assets.models.signing.statements import (
    SignedVersion,
    require_files,
    require_provenance,
)
from mlops_assets.models.signing.trust import Trust
from mlops_assets.paths import (
    SHARED,
    SIGNATURES,
    model_owner,
    provenance_key,
    signature_key,
    signature_of_key,
)
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import read_published, shared_model
from mlops_assets.registry.model_documents import SharedModel
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


class Bundles(NamedTuple):
    """The two bundles of a signature, which are read when they are called for."""

    files: Callable[[], bytes]
    provenance: Callable[[], bytes]


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

    A version without signatures is no problem where none is required. Of a version that is used
    from another workspace, the signatures are those that it has there.
    """
    subject = f"{row.model}@{row.version}"
    shared = shared_model(store.workspace, store.registry, row.model, row.version)
    remedy = f"run 'mlops model sign {subject}' where the key is"
    if shared is not None:
        return shared_problems(shared, check_signatures(store, row, trust), trust)
    return _problems(subject, check_signatures(store, row, trust), trust, remedy)


def shared_problems(
    shared: SharedModel, checked: Sequence[CheckedSignature], trust: Trust
) -> list[str]:
    """Return why no signature of a version in another workspace is accepted; nothing if one is.

    Args:
        shared: the version there.
        checked: its signatures.
        trust: whose signatures are accepted.
    """
    remedy = f"ask whoever runs that workspace to sign it, and use {shared.record} again"
    return _problems(f"{shared.reference} of {shared.workspace}", checked, trust, remedy)


def _problems(
    subject: str, checked: Sequence[CheckedSignature], trust: Trust, remedy: str
) -> list[str]:
    if any(own.problem is None for own in checked):
        return []
    if not checked and trust.required:
        return [f"{subject} has no signature, which {trust.path} requires; {remedy}"]
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
    shared = shared_model(store.workspace, store.registry, row.model, row.version)
    read = partial(read_published, store.workspace, store.registry)
    expected = SignedVersion.of(row, published)
    if shared is not None:
        expected = SignedVersion.of_shared(shared, expected.files["model.onnx"])
    folder = SIGNATURES if shared is None else SHARED
    bundles = {
        name: Bundles(
            partial(read, signature_key(row.model, row.version, name, folder)),
            partial(read, provenance_key(row.model, row.version, name, folder)),
        )
        for name in _names(published)
    }
    return check_bundles(bundles, expected, trust)


def check_bundles(
    bundles: Mapping[str, Bundles], expected: SignedVersion, trust: Trust
) -> list[CheckedSignature]:
    """Check signatures of a model version of any workspace.

    Args:
        bundles: by the name of the signature.
        expected: the version that they must be about.
        trust: whose signatures are accepted.

    Raises:
        StorageUnreachable: a bundle cannot be read just now.
    """
    return [_checked(name, own, expected, trust) for name, own in bundles.items()]


def signature_names(store: Store, row: ModelVersion) -> list[str]:
    """Return the names of the signatures of a model version, which are not verified."""
    return _names(store.registry.files(model_owner(row.model, row.version)))


def _names(published: Sequence[FileStat]) -> list[str]:
    return sorted(filter(None, (signature_of_key(file.path) for file in published)))


def _checked(
    name: str, bundles: Bundles, expected: SignedVersion, trust: Trust
) -> CheckedSignature:
    try:
        bundle = _bundle(bundles.files)
        signer = trust.signer_of(bundle)
        require_files(bundle.statement, expected)
    except SignatureRefused as error:
        return CheckedSignature(name, problem=str(error))
    try:
        provenance = _bundle(bundles.provenance)
        trust.signer_of(provenance)
        require_provenance(provenance.statement, expected)
    except SignatureRefused as error:
        return CheckedSignature(name, problem=f"has a provenance that {error}")
    return CheckedSignature(name, signer)


def _bundle(read: Callable[[], bytes]) -> Bundle:
    try:
        return Bundle.read(read())
    except StorageUnreachable:
        raise
    except (StorageError, IntegrityError) as error:
        raise SignatureRefused(f"cannot be read: {error}") from error
