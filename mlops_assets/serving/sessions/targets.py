"""The model versions that references name at present, by few queries for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, false, or_, select

from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.registry.schema import Alias, File


@dataclass(frozen=True)
class Target:
    """A model version that a reference names.

    Attributes:
        alias: by which it is served; its version where that was asked for.
        row: of the registry.
        sha256: of its ONNX file; None if it has none yet.
    """

    alias: str
    row: ModelVersion
    sha256: str | None

    @property
    def key(self) -> tuple[str, str | None]:
        """Version and checksum: what another target differs in."""
        return self.row.version, self.sha256


def targets_of(registry: Registry, references: Sequence[Reference]) -> Mapping[Reference, Target]:
    """Return the model versions of references, as far as there are any.

    Args:
        registry: of the models.
        references: to aliases or versions.

    Raises:
        StorageError: the registry cannot be read.
    """
    by_alias = [
        and_(Alias.model == reference.name, Alias.alias == reference.what)
        for reference in references
    ]
    by_version = [
        and_(ModelVersion.model == reference.name, ModelVersion.version == reference.what)
        for reference in references
    ]
    aliased = select(Alias.alias, ModelVersion).join(
        ModelVersion, and_(ModelVersion.model == Alias.model, ModelVersion.version == Alias.version)
    )
    with registry.reading() as session:
        found = {
            Reference(row.model, row.version): row
            for row in session.scalars(select(ModelVersion).where(or_(false(), *by_version)))
        }
        for alias, row in session.execute(aliased.where(or_(false(), *by_alias))):
            found[Reference(row.model, alias)] = row
        keys = {reference: _key(row) for reference, row in found.items()}
        files = select(File.path, File.sha256).where(File.path.in_(set(keys.values())))
        checksums = dict(session.execute(files).all())
    return {
        reference: Target(str(reference.what), row, checksums.get(keys[reference]))
        for reference, row in found.items()
    }


def _key(row: ModelVersion) -> str:
    return f"{model_folder(row.model, row.version)}/model.onnx"
