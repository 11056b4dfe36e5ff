"""The export of a model version: what may leave the workspace, in a whole folder or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from mlops_assets.choices import ModelFormat
from mlops_assets.errors import ExportError, StorageError
from mlops_assets.integrations.model_export import eotdl, folder, kserve, mlflow, triton
from mlops_assets.integrations.model_export.kserve import ObjectStorage
from mlops_assets.integrations.model_export.source import ExportSource
from mlops_assets.principals import Visibility
from mlops_assets.progress import step
from mlops_assets.registry import ModelVersion
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store

# format → name of the software in the checklist; none where nothing but onnxruntime is needed
_SOFTWARE: dict[ModelFormat, str] = {
    "mlflow": "MLflow",
    "triton": "Triton",
    "kserve": "KServe",
    "eotdl": "EOTDL",
}


@dataclass(frozen=True)
class Exported:
    """A finished export.

    Attributes:
        folder: where it is.
        sha256: of the ONNX file in it.
        files: paths in the folder, sorted.
        warnings: what whoever takes it should know.
    """

    folder: Path
    sha256: str
    files: list[str]
    warnings: list[str] = field(default_factory=list)


def export_version(
    store: Store,
    row: ModelVersion,
    to: ModelFormat,
    out: Path,
    storage: ObjectStorage | None = None,
    private: bool = False,
) -> Exported:
    """Write a recorded model version in another platform's format.

    Args:
        store: workspace and registry.
        row: the model version.
        to: the format.
        out: a new or empty folder, outside of the workspace.
        storage: where KServe will read the model; for `kserve` only.
        private: whether a private version may leave the workspace.

    Returns:
        The export.

    Raises:
        ExportError: the version is not recorded, is private, or lacks what the format requires.
        IntegrityError: a file is not as it was published; nothing is written.
        MissingExtra: the format's library is not installed.
        SignatureRefused: `MLOPS_TRUST` requires a signature that it does not have.
        StorageError: the folder is not empty, or cannot be written.
    """
    subject = f"{row.model}@{row.version}"
    if row.visibility == Visibility.PRIVATE and not private:
        raise ExportError(
            f"{subject} is private, and an export is readable by all who get it; repeat with"
            " --private if that is meant"
        )
    writers: dict[ModelFormat, Callable[[ExportSource, Path], list[str]]] = {
        "dir": folder.write,
        "mlflow": mlflow.write,
        "triton": triton.write,
        "eotdl": eotdl.write,
        "kserve": lambda source, target: kserve.write(source, target, storage),
    }
    target = _free(store, out)
    source = ExportSource.open(store, row)
    warnings = _warnings(source, _SOFTWARE.get(to))
    with step(f"exporting {subject} for {to}"), scratch_folder("export", target.parent) as scratch:
        whole = scratch / "export"
        whole.mkdir()
        try:
            warnings += writers[to](source, whole)
            # an empty folder of that name is replaced
            whole.rename(target)
        except OSError as error:
            raise StorageError(
                f"{out} could not be written: {error.strerror}; free space or name another folder"
            ) from error
    files = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    return Exported(target, source.sha256, files, warnings)


def _free(store: Store, out: Path) -> Path:
    """Return the folder to write, which is not there or empty."""
    target = out.expanduser().resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StorageError(f"{out} is not an empty folder; name a new one, or remove it")
    local = urlsplit(store.workspace.url).scheme == "file"
    if local and target.is_relative_to(store.workspace.root.resolve()):
        raise StorageError(f"{out} is inside the workspace; name a folder outside of it")
    return target


def _warnings(source: ExportSource, software: str | None) -> list[str]:
    row = source.row
    found = []
    if (row.model, row.version) in source.store.registry.deprecated_versions(row.model):
        found.append(f"{source.reference} is deprecated")
    for taker in source.takers:
        if taker.name == software:
            found += [f"{software} may not run it: {reason}" for reason in taker.missing]
    return found
