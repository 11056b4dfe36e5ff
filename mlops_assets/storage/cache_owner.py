"""The workspace that a cache on this machine belongs to.

Copies are found there by the checksum of their bytes, without asking the workspace, and logged
requests wait there until they are moved. Two projects with one cache would read each other's.
"""

from __future__ import annotations

from pathlib import Path

from mlops_assets.errors import SettingsError, StorageError
from mlops_assets.settings import workspace_identity
from mlops_assets.text.secret_urls import redacted

OWNER_FILE = "workspace.sha256"


def claim_cache(cache: Path, url: str) -> None:
    """Make a cache that of a workspace; only its owner may enter a folder that is made for it.

    Args:
        cache: folder of this machine.
        url: of the workspace.

    Raises:
        SettingsError: it is that of another workspace.
        StorageError: it cannot be written.
    """
    identity, file = workspace_identity(url), cache / OWNER_FILE
    try:
        if not cache.is_dir():
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.mkdir(mode=0o700, exist_ok=True)
        try:
            with file.open("x") as owner:
                owner.write(identity)
            return
        except FileExistsError:
            found = file.read_text()
    except OSError as error:
        raise StorageError(
            f"cache {cache} cannot be used: {error.strerror}; free space, or name another folder in"
            " MLOPS_CACHE"
        ) from error
    if found not in (identity, ""):  # another process is writing it just now
        raise SettingsError(
            f"cache {cache} is that of another workspace than {redacted(url)}: set MLOPS_CACHE to a"
            " folder for each workspace; or if it has moved to another address, remove the cache"
        )
