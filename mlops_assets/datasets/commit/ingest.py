"""Store the bytes of landed files in the workspace, in parallel and each once.

The registry remembers stored files as they are stored, so that an interrupted commit resumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from mlops_assets.datasets.sources.base import LandedFile
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.progress import step
from mlops_assets.registry import Registry
from mlops_assets.registry.files.landed_files import Identity
from mlops_assets.storage import Workspace, sha256_of

# requests under way at once: what keeps two cores busy against an object store, see benchmarks/
THREADS = 16
# files a thread stores before it hands in; also what an interrupted commit loses at most, a thread
_BATCH = 256


def known_files(
    workspace: Workspace, registry: Registry, source: str, files: Sequence[LandedFile]
) -> dict[str, str]:
    """Return path → sha256 of those files that are in the workspace already.

    They are recognised by path, size and stamp.
    """
    listed = {file.path: file for file in files}
    known = {}
    for path, size, stamp, sha256 in registry.landed(source):
        file = listed.get(path)
        if (
            file
            and (file.size, file.stamp) == (size, stamp)
            and (file.href or workspace.still_has(sha256, size))
        ):
            known[file.path] = sha256  # the listing's own string: hundreds of thousands are held
    return known


def store_files(
    registry: Registry,
    landed: Landed,
    files: Sequence[LandedFile],
    listed: float,
    again: bool = False,
) -> pd.DataFrame:
    """Store every file that is not known yet; files kept by reference are hashed only.

    Args:
        registry: remembers what has been stored.
        landed: the landing, with local copies.
        files: those that belong to the data version.
        listed: when the landing was listed, seconds since the epoch.
        again: write objects again that exist already.

    Returns:
        Columns path, sha256, size and href of all files, in the order given.

    Raises:
        StorageError: a file cannot be read or stored.
    """
    found = [landed.known.get(file.path) for file in files]
    todo = [index for index, sha256 in enumerate(found) if sha256 is None]

    batches = [todo[start : start + _BATCH] for start in range(0, len(todo), _BATCH)]
    size = sum(files[index].size for index in todo)
    with (
        step("hashing and storing", len(todo), "files", size) as done,
        ThreadPoolExecutor(THREADS) as pool,
    ):

        def store(batch: Sequence[int]) -> list[str]:
            digests = []
            for index in batch:
                digests.append(_store(landed, files[index], again))
                done.advance(size=files[index].size)
            return digests

        for batch, stored in zip(batches, pool.map(store, batches), strict=True):
            for index, sha256 in zip(batch, stored, strict=True):
                found[index] = sha256
            settled = [index for index in batch if landed.landing.settled(files[index], listed)]
            registry.remember_landed(
                landed.landing.url, [_identity(files[index], found[index]) for index in settled]
            )
    return pd.DataFrame(
        {
            "path": [file.path for file in files],
            "sha256": found,
            "size": [file.size for file in files],
            "href": pd.Series([file.href for file in files], dtype="str"),
        }
    )


def _store(landed: Landed, file: LandedFile, again: bool) -> str:
    local = landed.local(file)
    return sha256_of(local) if file.href else landed.workspace.put_object(local, again).sha256


def _identity(file: LandedFile, sha256: str | None) -> Identity:
    return file.path, file.size, file.stamp, str(sha256)
