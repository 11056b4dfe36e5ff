"""Small image datasets for the tests of diff, recall and verify.

A folder a class, one NPY file a sample.
"""

from __future__ import annotations

import dataclasses
import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.paths import object_key, pack_key
from mlops_assets.storage.packs import Pack
from mlops_assets.store import Store


def images_specification(name: str = "tiles", **changes: object) -> DatasetSpecification:
    """Images whose path names split and class: `train/wheat/1.npy`."""
    attributes: dict[str, object] = {
        "name": name,
        "source": {
            "url": f"landing/{name}",
            "layout": "image_folder",
            "image_folder": {"pattern": "{split}/{label}/*"},
        },
        "split": {"method": "column"},
    }
    return DatasetSpecification.model_validate(attributes | changes)


def image(seed: int) -> bytes:
    """An image of two bands, the same for the same seed."""
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(seed).integers(0, 255, (2, 8, 8), dtype=np.uint8))
    return buffer.getvalue()


def images() -> dict[str, bytes]:
    """Path → content of twelve images: three splits, two classes."""
    paths = [
        f"{s}/{c}/{n}.npy"
        for s in ("train", "validation", "test")
        for c in ("maize", "wheat")
        for n in (1, 2)
    ]
    return {path: image(seed) for seed, path in enumerate(paths)}


def land_images(
    store: Store,
    files: dict[str, bytes] | None = None,
    specification: DatasetSpecification | None = None,
) -> CommittedDataset:
    """Make the landing hold exactly these files, commit it, and open the version."""
    specification = specification or images_specification()
    folder = store.workspace.root / specification.source.url
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in (files or images()).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    version = commit(store.workspace, store.registry, specification).version
    return CommittedDataset.open(
        store.workspace, store.registry, Reference(version.dataset, version.version)
    )


def pack_images(committed: CommittedDataset) -> CommittedDataset:
    """Return the version with its objects in one pack, in the order of the files, and not single.

    The manifest is changed only in memory.
    """
    workspace, manifest = committed.workspace, committed.manifest
    pack = Pack()
    for sha256 in manifest["sha256"]:
        pack.add(sha256, workspace.get_object(sha256))
    places = workspace.put_pack(pack)
    for sha256 in places:
        workspace.remove(object_key(sha256))
    packed = [places[sha256] for sha256 in manifest["sha256"]]
    offsets = pd.array([place.offset for place in packed], dtype="Int64")
    changed = manifest.assign(pack=[place.pack for place in packed], offset=offsets)
    return dataclasses.replace(committed, manifest=changed)


def pack_path(committed: CommittedDataset) -> Path:
    """Return the path of the pack of a version in a local workspace, that `pack_images` made."""
    return committed.workspace.root / pack_key(str(committed.manifest["pack"].iloc[0]))


def tree(folder: Path) -> dict[str, bytes]:
    """Path → content of everything in a folder, hidden files and links too."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if not p.is_dir()
    }


def object_path(store: Store, committed: CommittedDataset, path: str) -> Path:
    """Return the path of a landed file's bytes in the workspace."""
    sha256 = str(committed.manifest.set_index("path").loc[path, "sha256"])
    return store.workspace.root / "objects" / "sha256" / sha256[:2] / sha256[2:]


def damage(path: Path, content: bytes | None = None) -> None:
    """Change the middle byte of a file, or give it other content, whatever its permissions."""
    if content is None:
        content = path.read_bytes()
        middle = len(content) // 2
        content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.chmod(0o644)
    path.write_bytes(content)
