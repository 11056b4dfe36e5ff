"""A map to be made, as it travels between the steps and the machines that make it.

Nothing here reads scenes or runs models.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal, TypeVar, cast

from mlops_assets.errors import SpecificationError
from mlops_assets.names import Reference
from mlops_assets.prediction.mapped import Options
from mlops_assets.prediction.scenes.found import FoundScene
from mlops_assets.prediction.scenes.reading import Reading
from mlops_assets.text.json_values import JsonObject

T = TypeVar("T")


@dataclass(frozen=True)
class MapJob:
    """A map to be made.

    Attributes:
        name: of the map; a map of the same name is replaced.
        model: name of the model.
        version: of the model.
        scenes: one, or those of a day, which become one mosaic; in any order.
        options: outputs of the map.
        reading: how scenes are read.
        area: name of the area; None for a map of scenes alone.
        day: of acquisition, UTC; None if unknown.
        on_broken: whether a scene that cannot be read is skipped and reported, or fails the map.
        notes: remarks for people on how the scenes were found.
    """

    name: str
    model: str
    version: str
    scenes: tuple[FoundScene, ...]
    options: Options = field(default_factory=Options)
    reading: Reading = field(default_factory=Reading)
    area: str | None = None
    day: date | None = None
    on_broken: Literal["skip", "fail"] = "skip"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Order the scenes by time of acquisition, then by name.

        Raises:
            SpecificationError: there is none.
        """
        if not self.scenes:
            raise SpecificationError(f"map {self.name} has no scene; name at least one")
        object.__setattr__(
            self, "scenes", tuple(sorted(self.scenes, key=lambda scene: scene.order))
        )

    @property
    def reference(self) -> Reference:
        """The model version."""
        return Reference(self.model, self.version)

    def key(self, model_sha256: str) -> str:
        """Return the key under which unfinished work on this map is kept.

        Args:
            model_sha256: checksums of `model.onnx` and of the document of its applicability.
        """
        # neither a scene that is skipped, or not, nor a remark changes a part
        text = json.dumps(replace(self, on_broken="skip", notes=()).as_json(), sort_keys=True)
        return hashlib.sha256(f"{model_sha256}\n{text}".encode()).hexdigest()

    def as_json(self) -> JsonObject:
        """Return the job as JSON."""
        return as_json(self)

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> MapJob:
        """Return the job of a JSON document.

        Raises:
            SpecificationError: it is not one.
        """
        return from_json(cls, document)


@dataclass(frozen=True)
class Part:
    """Rows of a scene of a job, which are predicted in one piece.

    Attributes:
        scene: index of the scene in the job.
        digest: sha256 over the checksums of the scene's files.
        first: the first row.
        last: one past the last row.
    """

    scene: int
    digest: str
    first: int
    last: int

    def as_json(self) -> JsonObject:
        """Return the part as JSON."""
        return as_json(self)

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> Part:
        """Return the part of a JSON document.

        Raises:
            SpecificationError: it is not one.
        """
        return from_json(cls, document)


def as_json(value: object) -> JsonObject:
    """Return a dataclass as JSON."""
    from pydantic import TypeAdapter

    return cast("JsonObject", TypeAdapter(type(value)).dump_python(value, mode="json"))


def from_json(kind: type[T], document: object) -> T:
    """Return a dataclass of a JSON document.

    Raises:
        SpecificationError: it is not one.
    """
    from pydantic import TypeAdapter, ValidationError

    from mlops_assets.strict import listed_problems

    try:
        return TypeAdapter(kind).validate_python(document)
    except ValidationError as error:
        raise SpecificationError(
            f"not a {kind.__name__}: {listed_problems(error, 'document')}; plan the map again"
        ) from error
