"""Uploaded files of a run before it is published, in one folder of this machine for each run.

Whole files only: an upload that is interrupted or differs from its checksum leaves nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from mlops_assets.errors import StorageError
from mlops_assets.hub.rest.bodies import check_announced, too_large
from mlops_assets.hub.rest.errors import Refused
from mlops_assets.hub.rest.schemas import FileReceived
from mlops_assets.models.specification import ModelSpecification

MAX_FILES = 64  # a folder
# The name of the folder has a dot, so that no module can be imported from it, whatever sys.path has
NATIVE = "native.d"
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]{44}):")


@dataclass(frozen=True)
class Staging:
    """The folder of one run."""

    folder: Path

    @property
    def onnx(self) -> Path:
        """The ONNX file, if one was uploaded."""
        return self.folder / "model.onnx"

    def files(self, kind: str) -> dict[str, Path]:
        """Return the uploaded files of a kind (`NATIVE`, `outputs`, `figures`), by name."""
        folder = self.folder / kind
        names = sorted(folder.iterdir()) if folder.is_dir() else []
        return {path.name: path for path in names if not path.name.startswith(".")}

    def begin(self, specification: ModelSpecification) -> None:
        """Keep the model as it was declared when the run began, and remove incomplete uploads."""
        self._remove_parts()
        self.write("specification", specification.model_dump(mode="json"))

    def specification(self) -> ModelSpecification:
        """Return the model as it was declared when the run began.

        Raises:
            StorageError: it is not on this machine.
        """
        found = self.read("specification")
        if found is None:
            raise StorageError(
                "the uploads of this run are not on this machine any more; start the run again"
            )
        return ModelSpecification.model_validate(found)

    def read(self, name: str) -> Any:
        """Return a document of the run; None if there is none."""
        try:
            return json.loads((self.folder / f"{name}.json").read_text())
        except FileNotFoundError:
            return None

    def write(self, name: str, document: object) -> None:
        """Write a document of the run, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".")
        with os.fdopen(handle, "w") as stream:
            json.dump(document, stream)
        Path(temporary).replace(self.folder / f"{name}.json")

    def forget(self, name: str) -> None:
        """Remove a document of the run, if there is one."""
        (self.folder / f"{name}.json").unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the uploaded files; documents stay."""
        self._remove_parts()
        self.onnx.unlink(missing_ok=True)
        for kind in (NATIVE, "outputs", "figures"):
            shutil.rmtree(self.folder / kind, ignore_errors=True)

    def _remove_parts(self) -> None:
        """Remove files that a killed server had not received or written completely."""
        for part in self.folder.rglob(".*"):
            part.unlink(missing_ok=True)

    async def receive(
        self, request: Request, target: Path, limit: int, signature: bytes = b""
    ) -> FileReceived:
        """Stream the body of a request to a file of this folder.

        Args:
            request: its header Content-Digest (RFC 9530) has the sha256 of the body.
            target: the file.
            limit: bytes at most.
            signature: first bytes of every file of this kind.

        Raises:
            Refused: it is too large, was interrupted, or differs from its checksum.
        """
        check_announced(request, limit)
        expected = _expected_digest(request)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() and len(list(target.parent.iterdir())) >= MAX_FILES:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"there are {MAX_FILES} such files already"
            )
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".")
        digest = hashlib.sha256()
        size = 0
        first = b""
        try:
            with os.fdopen(handle, "wb") as stream:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > limit:
                        raise too_large(limit)
                    if len(first) < len(signature):
                        first = (first + chunk)[: len(signature)]
                    digest.update(chunk)
                    await run_in_threadpool(stream.write, chunk)
            if digest.digest() != expected:
                raise Refused(
                    HTTPStatus.BAD_REQUEST,
                    f"the body has sha256 {digest.hexdigest()}, not that of Content-Digest;"
                    " send it again",
                )
            if first != signature:
                raise Refused(
                    HTTPStatus.UNPROCESSABLE_ENTITY, f"{target.name} is not a file of that kind"
                )
            Path(name).replace(target)
        except ClientDisconnect as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "the body was interrupted") from error
        except OSError as error:
            raise Refused(
                HTTPStatus.INSUFFICIENT_STORAGE,
                f"{target.name} cannot be stored: {error.strerror}",
            ) from error
        finally:
            Path(name).unlink(missing_ok=True)
        return FileReceived(name=target.name, size=size, sha256=digest.hexdigest())


def _expected_digest(request: Request) -> bytes:
    found = _DIGEST.search(request.headers.get("content-digest", ""))
    if found is not None:
        with suppress(binascii.Error):
            return base64.b64decode(found[1], validate=True)
    raise Refused(
        HTTPStatus.BAD_REQUEST,
        "the checksum of the body is missing: send 'Content-Digest: sha-256=:BASE64:'",
    )
