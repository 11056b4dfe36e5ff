"""The server of an image: `python -m mlops_assets.integrations.deployment.image.server FOLDER`.

It has a workspace and a registry of its own, with the one model version and in a temporary folder,
and serves them as `mlops serve` does. Requests are not logged, as nothing of it is kept.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pydantic import ValidationError

from mlops_assets.errors import IntegrityError, MlopsError, SettingsError, StorageError
from mlops_assets.identity.bearer import Bearers
from mlops_assets.identity.declaration import is_loopback
from mlops_assets.integrations.deployment.image.version import ONNX, VERSION_FILE, ImageVersion
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.principals import local
from mlops_assets.registry import DataVersion, ModelVersion, Registry, Run
from mlops_assets.serving.app import ServerSettings, create_server_app
from mlops_assets.serving.http_server import serve
from mlops_assets.serving.sessions.repository import ModelRepository
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store

TOKEN = "MLOPS_API_TOKEN"  # nosec  # the name of a setting


def open_image(folder: Path, scratch: Path) -> tuple[Store, ImageVersion]:
    """Return a store with the model version of an image alone.

    Args:
        folder: with `version.json` and `model.onnx`.
        scratch: an empty folder for workspace and registry.

    Raises:
        IntegrityError: the ONNX file is not the one that was deployed.
        StorageError: a file cannot be read.
    """
    try:
        known = ImageVersion.model_validate_json((folder / VERSION_FILE).read_bytes())
        content = (folder / ONNX).read_bytes()
    except ValidationError as error:
        raise IntegrityError(
            f"{folder / VERSION_FILE} is not valid: {error}; deploy the service again"
        ) from error
    except OSError as error:
        raise StorageError(
            f"{error.filename} cannot be read: {error.strerror}; deploy the service again"
        ) from error
    if sha256_of(content) != known.sha256:
        raise IntegrityError(
            f"{folder / ONNX} is not the file that was deployed, sha256 {known.sha256}; deploy the"
            " service again"
        )
    # by the resolved path, as `..` and links are not part of a URL
    workspace = Workspace(scratch.resolve().as_uri())
    registry = Registry(f"sqlite:///{scratch.resolve() / 'registry.db'}").acting(local("image"))
    store = Store(workspace, registry)
    _publish(store, known, content)
    return store, known


def _publish(store: Store, known: ImageVersion, content: bytes) -> None:
    """Publish the rows that serving reads; what it does not read is left empty."""
    registry = store.registry
    registry.publish_data_version(
        DataVersion(
            dataset=known.dataset,
            version=known.data_version,
            number=1,
            digest=known.data_digest,
            created=known.created,
            created_by="",
            files=0,
            samples=0,
            size=0,
            specification={},
            counts={},
        ),
        [],
    )
    registry.start_run(
        Run(
            run_id=known.run_id,
            model=known.model,
            dataset=known.dataset,
            data_version=known.data_version,
            data_digest=known.data_digest,
            status="running",
            parameters={},
            seed=0,
            trainer="",
            code_version="",
            hardware={},
            metrics={},
            started=known.created,
            host="",
            pid=0,
        )
    )
    key = f"{model_folder(known.model, known.version)}/{ONNX}"
    row = ModelVersion(
        model=known.model,
        version=known.version,
        run_id=known.run_id,
        dataset=known.dataset,
        data_version=known.data_version,
        data_digest=known.data_digest,
        task=known.task,
        framework=known.framework,
        signature=known.signature.document(),
        stage="recorded",
        metrics={},
        created=known.created,
        visibility=known.visibility,
    )
    registry.publish_model_version(row, [store.workspace.put(key, content)])


def main() -> None:
    """Serve the model version of a folder until the process is stopped."""
    parser = argparse.ArgumentParser(description="Serve the model version of an image.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--threads", type=int, default=2, help="requests answered at once")
    options = parser.parse_args()
    try:
        _serve(options.folder, options.host, options.port, options.threads)
    except MlopsError as error:
        sys.exit(f"error: {error}")


def _serve(folder: Path, host: str, port: int, threads: int) -> None:
    token = os.environ.get(TOKEN) or None
    if token is None and not is_loopback(host):
        raise SettingsError(
            f"{host} is reachable from other machines, so that callers need a token: set {TOKEN} to"
            " what 'openssl rand -hex 32' prints"
        )
    with scratch_folder("image") as scratch:
        store, known = open_image(folder, scratch)
        reference = Reference(known.model, known.version)
        repository = ModelRepository(store, [reference])
        for state in repository.status(known.model):
            if not state.ready:
                raise IntegrityError(f"{reference} cannot be served: {state.reason}")
        bearers = None if token is None else Bearers(store.registry, shared=token)
        settings = ServerSettings(bearers=bearers, threads=threads)
        serve(create_server_app(store, repository, None, settings), host, port)


if __name__ == "__main__":
    main()
