"""A model and the map that it makes: bands that it takes, layers, windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.choices import MapOutput
from mlops_assets.datasets.versions.columns import label_name
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import (
    SpecificationError,
)
from mlops_assets.models.applicability.document import read_applicability
from mlops_assets.models.applicability.index import Applicability
from mlops_assets.models.evaluation.calibration import Scores
from mlops_assets.models.onnx.features import FEATURES_FILE, cell_of
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.signature import reading_training_data, scaling_in
from mlops_assets.names import Reference
from mlops_assets.paths import applicability_key, model_folder
from mlops_assets.prediction.maps.geotiff import (
    Layer,
    MapClass,
    class_layer,
    map_classes,
    number_layer,
)
from mlops_assets.prediction.maps.outputs import number_bands
from mlops_assets.prediction.scenes.bands import Band, Wanted
from mlops_assets.prediction.scenes.scene import Range, Scene
from mlops_assets.prediction.scenes.sources.grids import resolution_of
from mlops_assets.prediction.windows.overlap import Overlap
from mlops_assets.prediction.windows.scene_model import SceneModel
from mlops_assets.prediction.windows.strips import (
    Strip,
    pixel_strips,
    pixel_tops,
    window_strips,
    window_tops,
)
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.registry.model_documents import Signature
from mlops_assets.settings import onnx_provider
from mlops_assets.store import Store

if TYPE_CHECKING:
    from mlops_assets.stac.mlm.onnx_graph import OnnxGraph

_DESCRIBES_BANDS = ", which describes its bands"  # purpose of a model's data
SCORES = ".scores"  # in the name of the file with the outputs beside the classes
APPLICABILITY = ".applicability"  # of that with the dissimilarity index


@dataclass(frozen=True)
class Options:
    """Choices for a map.

    Attributes:
        outputs: of the map; classes or values always are.
    """

    outputs: tuple[MapOutput, ...] = ("class",)


@dataclass(frozen=True)
class MapIndex:
    """The dissimilarity index of a map.

    Attributes:
        applicability: of the model version.
        sha256: checksum of its document.
        features_file: local path of the file that gives features; None if predictors describe
            samples.
    """

    applicability: Applicability
    sha256: str
    features_file: Path | None

    @classmethod
    def of(cls, store: Store, row: ModelVersion) -> MapIndex | None:
        """Return the index of a model version; None if nothing is known of it.

        Raises:
            IntegrityError: a file of it is not as it was published.
        """
        applicability = read_applicability(store, row)
        if applicability is None:
            return None
        (file,) = store.registry.files_at(applicability_key(row.model, row.version))
        features = None
        if applicability.space == "features":
            key = f"{model_folder(row.model, row.version)}/{FEATURES_FILE}"
            features = published_path(store.workspace, store.registry, key)
        return cls(applicability, file.sha256, features)

    @property
    def tags(self) -> dict[str, str]:
        """Metadata of the files of a map."""
        found = {
            "MLOPS_APPLICABILITY_SPACE": self.applicability.space,
            "MLOPS_APPLICABILITY_THRESHOLD": f"{self.applicability.threshold:.6g}",
        }
        if self.features_file is not None and (cell := cell_of(self.features_file)) is not None:
            found["MLOPS_APPLICABILITY_CELL"] = f"{cell} px"
        return found


@dataclass(frozen=True)
class MappedModel:
    """A model and the layers of its map.

    Attributes:
        signature: of the model.
        onnx_file: local path.
        graph: facts of the file.
        classes: of the map; empty for numbers.
        first: the layer of classes or values.
        scores: kind of the model's scores; None if unknown.
        options: of the map.
        wanted: the bands that it takes, and its name for people.
        origin: metadata of the files of a map: where the model is from.
        index: how unlike training samples pixels are; None if nothing is known.
    """

    signature: Signature
    onnx_file: Path
    graph: OnnxGraph
    classes: Sequence[MapClass]
    first: Layer
    scores: Scores | None
    options: Options
    wanted: Wanted
    origin: Mapping[str, str] = field(default_factory=dict)
    index: MapIndex | None = None

    @classmethod
    def of(cls, store: Store, row: ModelVersion, onnx_file: Path, options: Options) -> MappedModel:
        """Return a model version for a map with some outputs.

        Raises:
            SpecificationError: it cannot give them.
        """
        signature = Signature.of(row)
        origin = {
            "MLOPS_MODEL": f"{row.model}@{row.version}",
            "MLOPS_DATA": f"{row.dataset}@{row.data_version}",
            "MLOPS_RUN": row.run_id,
        }
        numbers = None if signature.classes else _value_layer(store, row)
        wanted = _wanted_bands(store, row, signature)
        found = cls.of_signature(wanted, signature, onnx_file, options, numbers)
        return replace(found, origin=origin, index=MapIndex.of(store, row))

    @classmethod
    def of_signature(
        cls,
        wanted: Wanted,
        signature: Signature,
        onnx_file: Path,
        options: Options,
        numbers: Layer | None,
    ) -> MappedModel:
        """Return a model for a map with some outputs, by its signature alone.

        Args:
            wanted: the bands that it takes.
            signature: of the model.
            onnx_file: local path, with the platform's input and outputs.
            options: of the map.
            numbers: the layer of a regression model; None if it predicts classes.

        Raises:
            SpecificationError: it cannot give them, or windows of it cannot be joined.
        """
        from mlops_assets.stac.mlm.onnx_graph import read_graph

        graph = read_graph(onnx_file)
        if signature.view == "window" and all(out.name != "scores" for out in graph.outputs):
            raise SpecificationError(
                f"{wanted.model} gives no scores of the pixels of a window, which decide where"
                " windows overlap; export it with an output 'scores'"
            )
        classes = map_classes(signature.classes) if signature.classes else []
        more = [output for output in options.outputs if output != "class"]
        scores: Scores | None = None
        if graph.scores in ("probabilities", "logits"):
            scores = "probabilities" if graph.scores == "probabilities" else "logits"
        if more and (scores is None or not classes):
            reason = "predicts numbers" if not classes else "has no scores that are probabilities"
            raise SpecificationError(
                f"{wanted.model} {reason}, so a map has no {', '.join(more)}; leave out --outputs"
            )
        first = numbers or class_layer(classes)
        return cls(signature, onnx_file, graph, classes, first, scores, options, wanted)

    @property
    def layers(self) -> dict[str, Layer]:
        """Suffix of the file name → layer."""
        found = {"": self.first}
        if bands := number_bands(self.options.outputs, self.classes):
            found[SCORES] = number_layer(bands, "1")
        if self.index is not None:
            in_cells = self.overlap is not None and self.index.features_file is not None
            found[APPLICABILITY] = number_layer(("di", "aoa"), "1", in_cells)
        return found

    @property
    def overlap(self) -> Overlap | None:
        """The overlap of its windows; None if it takes no windows."""
        if self.signature.view != "window":
            return None
        return Overlap.of(self.signature.shape[1], self.graph.reach)

    @cached_property
    def model(self) -> SceneModel:
        """The loaded model."""
        scaling = scaling_in(self.signature)
        shape = tuple(self.signature.shape)
        file = None if self.index is None else self.index.features_file
        return SceneModel(
            OnnxModel(file or self.onnx_file, onnx_provider()),
            shape,
            len(self.classes),
            # what scaling makes 0 of
            np.zeros(shape[0], dtype=np.float32) if scaling is None else scaling.offset,
            None if self.index is None else self.index.applicability.di,
        )

    def tops(self, size: tuple[int, int]) -> Sequence[int]:
        """Return the first row of each strip of a scene.

        Args:
            size: height and width of the scene.
        """
        if self.overlap is None:
            return pixel_tops(size, len(self.classes))
        return window_tops(size[0], self.overlap)

    def strips(self, scene: Scene, wanted: Range) -> Iterator[Strip]:
        """Yield the outputs of the model over rows of a scene.

        Args:
            scene: to be read.
            wanted: first row, one of `tops`, and one past the last, one of them or the height.
        """
        if self.overlap is None:
            return pixel_strips(scene, self.model, wanted)
        return window_strips(scene, self.model, self.overlap, wanted)


def _value_layer(store: Store, row: ModelVersion) -> Layer:
    """Return the layer of the numbers of a regression model, with their name and unit."""
    committed = _committed(store, row)
    label = label_name(committed.specification.source)
    return number_layer((label,), committed.specification.units.get(label, ""))


def _committed(store: Store, row: ModelVersion) -> CommittedDataset:
    return CommittedDataset.open(
        store.workspace, store.registry, Reference(row.dataset, row.data_version)
    )


def _wanted_bands(store: Store, row: ModelVersion, signature: Signature) -> Wanted:
    """Return the bands that a model takes, with what its data version states of them."""

    def describe() -> list[Band]:
        from mlops_assets.stac.asset_fields import shared_bands

        with reading_training_data(row, _DESCRIBES_BANDS):
            known = {str(band["name"]): band for band in shared_bands(_committed(store, row))}
        return [_described(name, known.get(name, {})) for name in signature.features]

    def resolution() -> float | None:
        with reading_training_data(row, _DESCRIBES_BANDS):
            return resolution_of(_committed(store, row).manifest)

    return Wanted(
        f"{row.model}@{row.version}",
        signature.features,
        signature.source_features,
        describe,
        resolution,
    )


def _described(name: str, fields: dict[str, object]) -> Band:
    common, wavelength = fields.get("eo:common_name"), fields.get("eo:center_wavelength")
    return Band(
        name,
        common if isinstance(common, str) else None,
        float(wavelength) if isinstance(wavelength, int | float) else None,
    )
