"""Maps by a model that no workspace here has: only its MLM Item and its ONNX file are known.

They are made as those of model versions are, and written to where the user wants them, with their
document. Nothing is published, and the registry has no row of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlops_assets.errors import SignatureRefused
from mlops_assets.models.signing.trust import Trust
from mlops_assets.prediction.assemble import assemble
from mlops_assets.prediction.job import MapJob
from mlops_assets.prediction.mapped import MappedModel
from mlops_assets.prediction.maps.copy_out import write_out
from mlops_assets.prediction.maps.geotiff import number_layer
from mlops_assets.prediction.maps.publish import map_facts
from mlops_assets.prediction.opened import OpenedJob
from mlops_assets.prediction.predict import LOCK_SECONDS, predict_scenes
from mlops_assets.prediction.scenes.bands import Band, Wanted
from mlops_assets.registry.model_documents import Signature
from mlops_assets.stac.maps.document import DOCUMENT, PICTURE, ExternalMapDocument
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store


@dataclass(frozen=True)
class ExternalModel:
    """A model as its MLM Item describes it.

    Attributes:
        name: id of the Item.
        record: path or URL of the Item, without secrets.
        record_sha256: of the Item.
        source: path or URL of its ONNX file, without secrets.
        sha256: of the ONNX file.
        onnx_file: local path of a copy that has the platform's input and outputs.
        signature: of the copy.
        bands: what is known of each of its bands.
        source_bands: names of the bands of the data that it was trained on, as far as they are
            known.
        label: name of the number that it predicts, if it does.
        unit: of the number; empty if unknown.
        assumed: what the Item does not state.
    """

    name: str
    record: str
    record_sha256: str
    source: str
    sha256: str
    onnx_file: Path
    signature: Signature
    bands: Sequence[Band]
    source_bands: Sequence[str]
    label: str
    unit: str
    assumed: Sequence[str]

    @property
    def version(self) -> str:
        """A version of ONNX file and Item together, for keys of unfinished work."""
        return f"{self.sha256[:16]}-{self.record_sha256[:16]}"


@dataclass(frozen=True)
class ExternalMap:
    """A map that was written.

    Attributes:
        place: path or URL of its GeoTIFF.
        document: of the map, which lies beside it.
        picture: PNG.
        notes: remarks for people.
    """

    place: str
    document: ExternalMapDocument
    picture: bytes
    notes: Sequence[str]


def open_external(store: Store, job: MapJob, model: ExternalModel) -> OpenedJob:
    """Return a job by an external model.

    Args:
        store: workspace, for unfinished work.
        job: the map to be made.
        model: as its Item describes it.

    Raises:
        SignatureRefused: the settings demand signatures, and none of it is known here.
        SpecificationError: it cannot give the outputs.
    """
    trust = Trust.configured()
    if trust is not None and trust.required:
        raise SignatureRefused(
            f"MLOPS_TRUST demands signatures, and none of the model of {model.record} is known"
            " here; use it from its workspace, which has them: mlops model use"
        )
    wanted = Wanted(
        model.name, model.signature.features, model.source_bands, lambda: list(model.bands)
    )
    numbers = None if model.signature.classes else number_layer((model.label,), model.unit)
    mapped = MappedModel.of_signature(
        wanted, model.signature, model.onnx_file, job.options, numbers
    )
    origin = {
        "MLOPS_MODEL": model.name,
        "MLOPS_MODEL_ITEM": model.record,
        "MLOPS_MODEL_SHA256": model.sha256,
    }
    return OpenedJob(store, job, replace(mapped, origin=origin))


def make_external_map(store: Store, job: MapJob, model: ExternalModel, out: str) -> ExternalMap:
    """Map scenes by an external model, and write the map with its document.

    Args:
        store: workspace, for unfinished work, which an interrupted call leaves and the next one
            continues.
        job: the map to be made.
        model: as its Item describes it.
        out: see `require_writable`.

    Raises:
        BrokenScene: a scene cannot be read, or lacks what the model takes, and it is the only one,
            or the job demands all.
        Conflict: another process is making this map.
        SignatureRefused: the settings demand signatures, and none of it is known here.
        SpecificationError: scenes are on different grids; no scene can be read, or no pixel has
            data.
        StorageError: the map cannot be written.
    """
    opened = open_external(store, job, model).continued()
    lock = f"map {job.name} by {job.version}".replace("/", "-")
    with store.registry.lock(lock, LOCK_SECONDS), scratch_folder("map") as scratch:
        predict_scenes(opened)
        assembled, notes = assemble(opened, scratch)
        document = ExternalMapDocument(
            **dict(map_facts(store, assembled, model.sha256)),
            model=model.name,
            record=model.record,
            record_sha256=model.record_sha256,
            model_source=model.source,
            assumed=tuple(model.assumed),
        )
        described = scratch / "document.json"
        described.write_bytes(document.content())
        files = {end: assembled.files[end] for end in document.ends} | {DOCUMENT: described}
        kept = "what was predicted is kept, and the next run continues with it"
        place = write_out(files, job.name, out, document.sources, store.workspace.cache, kept)
        picture = assembled.files[PICTURE].read_bytes()
    opened.parts.remove()
    return ExternalMap(place, document, picture, [*_assumptions(model), *notes])


def _assumptions(model: ExternalModel) -> list[str]:
    return [f"assumed: {assumed}" for assumed in model.assumed]
