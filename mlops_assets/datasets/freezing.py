"""Freezing a landing into an immutable data version.

Order of writing: objects, then the manifest, then the registry row, which is the moment of publication. A crash
before that leaves at most objects that the next freeze finds and uses.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from mlops_assets.datasets import scenes, tables
from mlops_assets.datasets.contents import SAMPLE_COLUMNS, ClassName, Contents
from mlops_assets.datasets.landing import LandedFile, landing_folder, list_landing
from mlops_assets.datasets.specification import SPLITS, DatasetSpecification
from mlops_assets.datasets.splits import assign_splits
from mlops_assets.errors import DataProblems, StorageError
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.registry.store import now
from mlops_assets.storage import FileStat, Workspace

LAYOUTS = {"table": tables.read_contents, "scenes": scenes.read_contents}


@dataclass(frozen=True)
class Freeze:
    """What came of freezing: the data version, and whether it is new. `notes` are for people."""

    version: DataVersion
    created: bool
    notes: list[str]


def freeze(workspace: Workspace, registry: Registry, specification: DatasetSpecification, user: str) -> Freeze:
    """Freeze what lies in a dataset's landing; content that was frozen before gives its version again.

    Raises:
        EmptyLanding: nothing has landed.
        DataProblems: the data cannot be used; all problems found are listed.
        SpecificationError: the split cannot work with this data.
        StorageError: the landing or the workspace could not be read or written, or a file changed meanwhile.
        Conflict: another process is freezing the same dataset and does not end.
    """
    with workspace.lock(specification.name):
        landed = list_landing(landing_folder(workspace, specification.source.url))
        contents = LAYOUTS[specification.source.layout](landed, specification)
        samples = assign_splits(contents, specification.split)
        _require_training_samples(contents, samples, specification)
        used = [file for file in landed if file.path in set(contents.paths)]
        stored = {file.path: workspace.put_object(file.local) for file in used}
        _require_settled(used)
        files = [(path, stat.sha256, stat.size) for path, stat in stored.items()]
        source = specification.frozen()["source"]
        digest = digest_of(files, samples, contents.classes, contents.features, contents.input, source)
        known = registry.data_version_with(specification.name, digest)
        notes = contents.notes + [f"{file.path} is not read by this layout" for file in landed if file not in used]
        if known is not None:
            return Freeze(known, created=False, notes=notes)
        return Freeze(
            _publish(workspace, registry, specification, contents, samples, stored, digest, user), True, notes
        )


def digest_of(
    files: Iterable[tuple[str, str, int]],
    samples: pd.DataFrame,
    classes: list[ClassName] | None,
    features: list[str],
    shape: dict[str, Any],
    source: dict[str, Any],
) -> str:
    """Return the digest of a data version: sha256 over its canonical manifest, the same on any machine.

    Args:
        files: path, sha256 and size of every file, in any order.
        samples: every sample's place, label, group and split.
        classes: classes in the order of their indices.
        features: names of features or bands.
        shape: how a sample is shaped.
        source: the source as declared and frozen; its reading options are part of what the bytes mean.
    """
    reading = {name: options for name, options in source.items() if name != "url"}
    header = {"files": sorted(files), "classes": classes, "features": features, "input": shape, "reading": reading}
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    ordered = samples.sort_values(["path", "row", "column"], kind="stable")
    rows = ordered[["path", "row", "column", "label", "group", "split"]].to_csv(index=False, lineterminator="\n")
    return hashlib.sha256((text + rows).encode()).hexdigest()


def version_folder(dataset: str, version: str) -> str:
    """Return where a data version's manifest and documents lie in the workspace."""
    return f"datasets/{dataset}/{version}"


def _require_training_samples(contents: Contents, samples: pd.DataFrame, specification: DatasetSpecification) -> None:
    if contents.classes is None or contents.input["kind"] == "window":
        return
    trained = set(samples.loc[samples["split"] == "train", "label"])
    present = set(samples["label"])
    problems = [
        f"class {entry['value']} ({entry['name']}) has "
        + (f"{(samples['label'] == str(entry['value'])).sum()} sample(s), none of them in training; "
           "land more of it, change the split's seed, block or fractions, or take the class out"
           if str(entry["value"]) in present else "no sample; land some or take it out of 'classes'")
        for entry in contents.classes
        if str(entry["value"]) not in trained
    ]  # fmt: skip
    if problems:
        raise DataProblems(f"landing of {specification.name}", problems)


def _require_settled(files: list[LandedFile]) -> None:
    changed = [file.path for file in files if not file.unchanged()]
    if changed:
        raise StorageError(
            f"{', '.join(changed[:5])} changed while being frozen; nothing was published; wait until the landing "
            "is settled and freeze again"
        )


def _publish(
    workspace: Workspace,
    registry: Registry,
    specification: DatasetSpecification,
    contents: Contents,
    samples: pd.DataFrame,
    stored: dict[str, FileStat],
    digest: str,
    user: str,
) -> DataVersion:
    number = max((row.number for row in registry.data_versions(specification.name)), default=0) + 1
    version = f"v{number}"
    manifest = pd.DataFrame([{"path": path, "sha256": s.sha256, "size": s.size} for path, s in sorted(stored.items())])
    document = {
        "dataset": specification.name,
        "version": version,
        "digest": digest,
        "specification": specification.frozen(),
        "classes": contents.classes,
        "features": contents.features,
        "input": contents.input,
        "scenes": [asdict(scene) for scene in contents.scenes],
        "notes": contents.notes,
    }
    folder = version_folder(specification.name, version)
    files = [
        workspace.put(f"{folder}/manifest.parquet", _parquet(manifest)),
        workspace.put(f"{folder}/samples.parquet", _parquet(samples[SAMPLE_COLUMNS])),
        workspace.put(f"{folder}/version.json", json_bytes(document)),
    ]
    row = DataVersion(
        dataset=specification.name,
        version=version,
        number=number,
        digest=digest,
        created=now(),
        created_by=user,
        files=len(manifest),
        samples=len(samples),
        size=int(manifest["size"].sum()),
        specification=specification.frozen(),
        counts={name: int((samples["split"] == name).sum()) for name in SPLITS},
    )
    registry.publish_data_version(row, files)
    return row


def json_bytes(document: Any) -> bytes:
    """Return a document as readable, canonical JSON."""
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
