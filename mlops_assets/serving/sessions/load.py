"""A model version that is verified and loaded, with what clients may know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from weakref import WeakValueDictionary

from mlops_assets.errors import IntegrityError, ModelUnavailable, NotFound
from mlops_assets.models.onnx.session import Provider
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.sessions.interface import ServedVersion
from mlops_assets.serving.sessions.runner import Runner, ServedSession
from mlops_assets.serving.sessions.targets import Target
from mlops_assets.settings import trust_file
from mlops_assets.stac.catalog import record_key
from mlops_assets.storage import sha256_of
from mlops_assets.storage.stores import explained
from mlops_assets.store import Store


class Runners:
    """The loaded ONNX files by checksum, for as long as anything serves them."""

    def __init__(self, provider: Provider, threads: int) -> None:
        """Load files for a device.

        Args:
            provider: the device that models run on.
            threads: that one request runs on; as many as there are processors if 0.
        """
        self._provider: Provider = provider
        self._threads = threads
        self._loaded: WeakValueDictionary[str, Runner] = WeakValueDictionary()

    def of(self, sha256: str, read: Callable[[], bytes]) -> Runner:
        """Return a loaded file.

        Args:
            sha256: of the file.
            read: returns its content, verified; called if it is not loaded.

        Raises:
            ExportError: it cannot be loaded.
        """
        found = self._loaded.get(sha256)
        if found is None:
            found = Runner(read(), sha256, self._provider, self._threads)
            self._loaded[sha256] = found
        return found


def load_session(store: Store, target: Target, runners: Runners) -> ServedSession:
    """Verify a model version, load and warm up its ONNX file.

    Args:
        store: workspace and registry.
        target: the model version.
        runners: the files that are loaded.

    Raises:
        ModelUnavailable: it is not published whole yet.
        IntegrityError: its ONNX file is not as it was published.
        SignatureRefused: `MLOPS_TRUST` requires a signature that it does not have.
        ExportError: it cannot be loaded, or does not run.
        StorageError: it cannot be read.
    """
    row, sha256 = target.row, target.sha256
    if sha256 is None:
        raise ModelUnavailable(
            f"{row.model}@{row.version} has no ONNX file yet, as it is only {row.stage};"
            " materialise its missing assets"
        )
    if trust_file() is not None:
        # cryptography takes a tenth of the server's start
        from mlops_assets.models.signing.verify import require_signature

        require_signature(store, row)
    signature = Signature.of(row)
    runner = runners.of(sha256, partial(_verified, store, row, sha256))
    runner.warm_up(signature.shape)
    served = ServedVersion(
        row=row,
        alias=target.alias,
        sha256=sha256,
        signature=signature,
        inputs=runner.inputs,
        outputs=runner.outputs,
        properties=_properties(store, target, signature),
    )
    return ServedSession(served, runner)


def _verified(store: Store, row: ModelVersion, sha256: str) -> bytes:
    """Return the content of an ONNX file: the very bytes that are compared are loaded.

    Raises:
        IntegrityError: it is not as it was published.
        StorageError: it cannot be read.
    """
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    path = published_path(store.workspace, store.registry, key)
    with explained(key, "read"):
        content = path.read_bytes()
    if sha256_of(content) != sha256:
        raise IntegrityError(f"{key} has changed while it was read; restore it from a backup")
    return content


def _properties(store: Store, target: Target, signature: Signature) -> dict[str, object]:
    """Return what clients may know of a model version."""
    row = target.row
    found: dict[str, object] = {
        "task": row.task,
        "view": signature.view,
        "features": list(signature.features),
        "model_version": row.version,
        "alias": target.alias,
        "data_version": f"{row.dataset}@{row.data_version}",
        "run_id": row.run_id,
        "record": record_key(row),
        "sha256": target.sha256,
    }
    if signature.classes is not None:
        found["classes"] = [entry.model_dump(mode="json") for entry in signature.classes]
    if signature.scaling is not None:
        found["scaling"] = list(signature.scaling)
    if signature.apply_scale:
        found["apply_scale"] = True
    if units := _units(store, row):
        found["units"] = units
    return found


def _units(store: Store, row: ModelVersion) -> Mapping[str, str]:
    """Return the declared units of features and label; none if the data is not visible here."""
    try:
        data = store.registry.data_version(Reference(row.dataset, row.data_version))
    except NotFound:
        return {}
    return dict(data.specification.get("units") or {})
