"""The origin of an external run: its code, machine and packages."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from mlops_assets.text.json_values import JsonObject
from mlops_assets.training import provenance

MAX_PATCH = 1 << 20  # characters; of more only the digest is kept, within the code version


@dataclass(frozen=True)
class Origin:
    """The origin of a run.

    Attributes:
        trainer: name of the script or notebook.
        code_version: commit of its repository, with `+dirty.…` if there are changes; a hash of a
            script outside of one.
        changes: uncommitted changes, as a patch.
        environment: Python's version and installed packages.
        hardware: processor, memory and GPUs of the machine.
        host: name of the machine.
        pid: identifier of the process.
        created_by: who runs it.
    """

    trainer: str
    code_version: str
    changes: str | None
    environment: JsonObject
    hardware: JsonObject
    host: str
    pid: int
    created_by: str


def origin_of(file: Path | None, user: str) -> Origin:
    """Return the origin of a run of this process.

    Args:
        file: script or notebook that trains; None if it is unknown: then the current folder's
            repository counts.
        user: who runs it.
    """
    state = provenance.repository_state(Path.cwd() if file is None else file.resolve().parent)
    version, changes = state if state is not None else (_source_version(file), None)
    return Origin(
        trainer="notebook" if file is None else file.name,
        code_version=version,
        changes=changes if changes is None or len(changes) <= MAX_PATCH else None,
        environment=provenance.environment(),
        hardware=provenance.hardware(),
        host=socket.gethostname(),
        pid=os.getpid(),
        created_by=user,
    )


def _source_version(file: Path | None) -> str:
    """Return the code version of a script outside of a repository."""
    content = b"" if file is None else file.read_bytes()
    return f"source.{hashlib.sha256(content).hexdigest()[:12]}" if content else "unknown"


def calling_file(frame: FrameType | None) -> Path | None:
    """Return the script or notebook that a frame belongs to.

    None if there is no such file, as in a shell.
    """
    if frame is None:
        return None
    file = Path(frame.f_globals.get("__vsc_ipynb_file__") or frame.f_code.co_filename)
    return file if file.is_file() else None
