"""Files whose own reader cannot be trusted with damaged bytes: written and read with a checksum."""

from __future__ import annotations

from pathlib import Path

from mlops_assets.errors import ExportError
from mlops_assets.storage import sha256_of

CHECKSUM = "sha256.txt"


def write_checked(path: Path, content: bytes) -> None:
    """Write a file, and its checksum beside it."""
    path.write_bytes(content)
    (path.parent / CHECKSUM).write_text(f"{sha256_of(content)}  {path.name}\n")


def read_checked(path: Path) -> bytes:
    """Read what `write_checked` wrote.

    XGBoost and LightGBM end the whole process on some damaged files, so these must not reach them.
    A change of file and checksum together is found by the registry's own checksums.

    Raises:
        ExportError: the file is missing or damaged.
    """
    try:
        content = path.read_bytes()
        checksum = (path.parent / CHECKSUM).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path.name} of the model cannot be read: {error}") from error
    if checksum != f"{sha256_of(content)}  {path.name}\n":
        raise ExportError(
            f"{path.name} of the model is not what was written; fetch the model version again"
        )
    return content
