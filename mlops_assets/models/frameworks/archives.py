"""Zip archives of models, read under a limit, as a small one may unpack to very much."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from pathlib import Path

from mlops_assets.errors import ExportError

ALWAYS_ALLOWED = 256 << 20
MAX_RATIO = 20
MAX_MEMBERS = 100_000
NESTED = ".npz"  # an archive itself


def allowed_bytes(stored: int) -> int:
    """Return how many bytes an archive of this size may hold."""
    return max(ALWAYS_ALLOWED, MAX_RATIO * stored)


def require_bounded(file: Path, names: Collection[str] | None = None) -> None:
    """Check the unpacked size of an archive, and of archives inside it, before it is read.

    Python's zipfile reads no more of a member than the size that is compared here.

    Args:
        file: the archive.
        names: the members it may have; any if not given.

    Raises:
        ExportError: it holds too much, or other members.
        zipfile.BadZipFile: it is not an archive, or damaged.
    """
    allowed = allowed_bytes(file.stat().st_size)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        foreign = (
            sorted({member.filename for member in members} - set(names))
            if names is not None
            else []
        )
        if foreign or len({member.filename for member in members}) < len(members):
            raise ExportError(
                f"{file.name} holds {', '.join(foreign) or 'a member twice'}, which is not of a"
                " model"
            )
        held = sum(member.file_size for member in members)
        _require(file, held, len(members), allowed)
        for member in members:
            if member.filename.lower().endswith(NESTED):
                with zipfile.ZipFile(io.BytesIO(archive.read(member))) as inner:
                    held += sum(part.file_size for part in inner.infolist())
                _require(file, held, len(members), allowed)


def _require(file: Path, held: int, members: int, allowed: int) -> None:
    if held > allowed or members > MAX_MEMBERS:
        raise ExportError(
            f"{file.name} has {file.stat().st_size:,} bytes and would unpack to {held:,} in"
            f" {members:,} files; more than {allowed:,} bytes are not read"
        )
