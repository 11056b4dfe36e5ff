"""Signing a model version: one bundle over its files, and one about how they were made."""

from __future__ import annotations

from mlops_assets.errors import SignatureRefused
from mlops_assets.models.signing.bundle import sign
from mlops_assets.models.signing.keys import SigningKey
from mlops_assets.models.signing.statements import (
    files_statement,
    provenance_statement,
    root_digest,
    signed_files,
)
from mlops_assets.paths import model_owner, provenance_key, signature_key
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.files.verified_read import shared_model, stat_published
from mlops_assets.storage import FileStat
from mlops_assets.store import Store


def sign_version(store: Store, row: ModelVersion, key: SigningKey) -> list[FileStat]:
    """Sign the files of an evaluated model version, which are read again first.

    What the same key has signed already is left as it is; other signatures always are.

    Args:
        store: workspace and registry.
        row: the model version.
        key: signs it.

    Returns:
        The new bundles; none if this key has signed these files before.

    Raises:
        SignatureRefused: a file is not as it was published, or the version is used from another
            workspace; nothing was signed.
        StorageError: a file cannot be read, or a bundle cannot be written.
    """
    subject = f"{row.model}@{row.version}"
    shared = shared_model(store.workspace, store.registry, row.model, row.version)
    if shared is not None:
        raise SignatureRefused(
            f"{subject} is {shared.reference} of {shared.workspace}, and is signed there; then run"
            " 'mlops model use' again"
        )
    owner = model_owner(row.model, row.version)
    published = store.registry.files(owner)
    files = signed_files(row, published)
    stem = f"{key.fingerprint[:12]}-{root_digest(files)[:12]}"
    keys = (
        signature_key(row.model, row.version, stem),
        provenance_key(row.model, row.version, stem),
    )
    if store.registry.files_at(*keys):
        return []
    _require_unchanged(store, subject, published)
    run = store.registry.run_of(row)
    statements = (
        files_statement(row, files),
        provenance_statement(row, run, files, published),
    )
    bundles = {name: sign(own, key) for name, own in zip(keys, statements, strict=True)}
    with publication(store.workspace, store.registry) as publishing:
        # another process may have signed meanwhile
        if store.registry.files_at(*keys):
            return []
        written = publishing.put_all(bundles)
        store.registry.add_files(owner, publishing.files)
    return written


def _require_unchanged(store: Store, subject: str, published: list[FileStat]) -> None:
    """Check that no one is asked to answer for bytes that have changed since."""
    for file in published:
        recorded, found = stat_published(store.workspace, store.registry, file)
        if found.sha256 != recorded.sha256:
            raise SignatureRefused(
                f"{subject} is not signed: {file.path} is not as it was published; run 'mlops model"
                f" verify {subject}'"
            )
