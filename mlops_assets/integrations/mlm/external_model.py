"""A model that this workspace does not have, for maps, by its MLM Item alone.

The Item is all that is known of it: nothing is imported, and no data of this workspace is compared
with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from mlops_assets.errors import ExportError, ImportRefused
from mlops_assets.integrations.mlm.adapt import adapt
from mlops_assets.integrations.mlm.compare import Adaptation, Samples, axis_of, compare, plain_name
from mlops_assets.integrations.mlm.fetch import (
    RECORD_COPY,
    Fetched,
    is_url,
    model_of_item,
    onnx_asset,
)
from mlops_assets.integrations.mlm.record import (
    UNSCALE,
    ModelInput,
    ModelRecord,
    RecordedClass,
    parse_record,
)
from mlops_assets.integrations.mlm.scaling import BandScaling, value_scaling
from mlops_assets.integrations.mlm.tensors import dims_of, inputs_of, read_graph
from mlops_assets.models.export import uploaded_onnx
from mlops_assets.models.export.trial import require_gives
from mlops_assets.prediction.external import ExternalModel
from mlops_assets.prediction.scenes.bands import NUMBERED, Band, asset_bands
from mlops_assets.registry.model_documents import OutputClass, Signature, samples_at_once
from mlops_assets.storage import sha256_of
from mlops_assets.text.json_values import JsonObject
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    import onnx

View = Literal["row", "pixel", "patch", "window"]
_ADAPTED = "adapted.onnx"
_TRIED = 8  # samples; one and seven at once reveal a fixed batch axis
_MAX_TEXT = 200  # characters of what maps name
_MAX_SAMPLE = 64 << 20  # values of one sample
_VALUES = range(-(2**31), 2**31)  # of classes


def external_model(item: JsonObject, place: str, scratch: Path) -> ExternalModel:
    """Return the model of an Item, with the platform's input and outputs, ready to map scenes.

    Args:
        item: as `read_record` has returned it.
        place: path or URL of the Item, by which hrefs are resolved.
        scratch: the folder that it was read into; receives the ONNX file.

    Raises:
        ImportRefused: Item and ONNX file do not suit each other, or lack what maps need; all of it
            is listed.
        StorageError: a file cannot be read.
    """
    record, problems = parse_record(item)
    found = model = None
    try:
        found = model_of_item(item, place, scratch)
        model, own = read_graph(found.path)
        problems += own
    except ImportRefused as error:
        problems.append(str(error))
        own = ["there is no file"]
    name = item.get("id")
    if not isinstance(name, str) or not _is_plain(name):
        problems.append(
            f"id: is missing, or not a text of up to {_MAX_TEXT} characters; maps name the model by"
            " it"
        )
    described = None
    if record is not None:
        described, lacking = _described(record, item, model)
        problems += lacking
    how = None
    # without a single input there is nothing to compare
    if model is not None and record is not None and described is not None and not own:
        how, differing = compare(model, record, described.samples)
        problems += differing
        if how is not None and described.view == "window" and how.gives != "scores":
            problems.append(
                "mlm:output: windows are mapped by the scores of classes; describe an output that"
                " has them"
            )
    if (
        problems
        or found is None
        or model is None
        or record is None
        or described is None
        or how is None
    ):
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise ImportRefused(
            f"{redacted(place)} does not state what maps need: {len(problems)} problem(s); nothing"
            f" was written. Copy the Item and correct it, or export the model again:\n{listed}"
        )
    onnx_file = scratch / _ADAPTED
    _adapted(model, how, described, onnx_file)
    assumed = [*record.assumed, *how.assumed, *_assumed(described, found)]
    return ExternalModel(
        name=str(name),
        record=redacted(place) if is_url(place) else str(Path(place).resolve()),
        record_sha256=sha256_of(scratch / RECORD_COPY),
        source=found.place,
        sha256=found.sha256,
        onnx_file=onnx_file,
        signature=_signature(described, record, item, model),
        bands=_bands(described.samples.features, item, place),
        source_bands=_source_bands(described.samples.features),
        label=how.output if _is_plain(how.output) else "value",
        unit=next((output.unit for output in record.outputs if _is_plain(output.unit)), ""),
        assumed=assumed,
    )


@dataclass(frozen=True)
class _Described:
    """What an Item states of the samples that a model takes.

    Attributes:
        samples: as data would have them.
        view: shape of a sample.
        classes: in the order of the Item; empty for regression.
        input: of the record.
    """

    samples: Samples
    view: View
    classes: Sequence[RecordedClass]
    input: ModelInput

    @property
    def pixels(self) -> tuple[int, ...]:
        """Height and width of what it gives for a sample; empty for one class or number."""
        return self.samples.shape[1:] if self.view == "window" else ()


def _described(
    record: ModelRecord, item: JsonObject, model: onnx.ModelProto | None
) -> tuple[_Described | None, list[str]]:
    """Return what a record states, or all that it lacks."""
    if record.input is None:
        return None, [
            "mlm:input, mlm:output: are missing, as the extension ml-model has no such fields;"
            " write the record by MLM"
        ]
    problems: list[str] = []
    classes: Sequence[RecordedClass] = []
    if record.task != "regression":
        classes = next((output.classes for output in record.outputs if output.classes), [])
        problems += _class_problems(classes)
    view, shape = None, None
    try:
        view = _view(record, record.input, item)
        shape = _shape(record.input, view, model)
    except ValueError as error:
        problems.append(f"mlm:input: {error}")
    if view is None or shape is None or problems:
        return None, problems
    unscales = any(step.format == UNSCALE for step in record.input.pre_processing_function)
    samples = Samples(
        reference="maps",
        task=record.task,
        view=view,
        features=record.input.names,
        shape=shape,
        class_names=[entry.names[0] for entry in classes],
        is_scaled=bool(record.apply_scale or unscales),
    )
    return _Described(samples, view, classes, record.input), []


def _class_problems(classes: Sequence[RecordedClass]) -> Iterator[str]:
    where = "mlm:output: classification:classes:"
    if not classes:
        yield f"{where} are missing; state value and name of each class"
    for entry in classes:
        if not entry.names or not _is_plain(entry.names[0]):
            yield f"{where} {entry.value} has no name, or one that is not a short text"
        if entry.value not in _VALUES:
            yield f"{where} {entry.value} is too large for the pixels of a map"
    for what, found in (
        ("name", [plain_name(name) for entry in classes for name in entry.names[:1]]),
        ("value", [str(entry.value) for entry in classes]),
    ):
        if twice := sorted({each for each in found if found.count(each) > 1}):
            yield f"{where} {', '.join(twice)} is the {what} of several; each needs its own"


def _is_plain(text: str) -> bool:
    """Return whether a text may be written into files and shown to people."""
    return 0 < len(text) <= _MAX_TEXT and text.isprintable()


def _view(record: ModelRecord, stated: ModelInput, item: JsonObject) -> View:
    """Return how a sample is shaped.

    Raises:
        ValueError: scenes cannot be cut into such samples.
    """
    order = stated.input.dim_order
    axes = sorted(filter(None, map(axis_of, order)))
    if axes == ["bands", "batch"] and len(order) == 2:
        return "pixel" if stated.bands else "row"
    if axes != ["bands", "batch", "height", "width"] or len(order) != 4:
        raise ValueError(
            f"the axes are {', '.join(order)}, and scenes are mapped by models that take batch and"
            " bands, or also height and width"
        )
    if record.task == "semantic-segmentation":
        return "window"
    properties = item.get("properties")
    tasks = properties.get("mlm:tasks", []) if isinstance(properties, dict) else []
    if isinstance(tasks, list) and "scene-classification" in tasks:
        raise ValueError("scene-classification is of whole images, which are not mapped")
    return "patch"


def _shape(stated: ModelInput, view: View, model: onnx.ModelProto | None) -> tuple[int, ...]:
    """Return the shape of one sample, bands first.

    Raises:
        ValueError: it is not stated, or of no use for maps.
    """
    order = [axis_of(name) for name in stated.input.dim_order]
    stated_sizes = [size if size > 0 else None for size in stated.input.shape]
    sources = inputs_of(model) if model is not None else []
    dims = (dims_of(sources[0]) if len(sources) == 1 else None) or []
    if len(dims) != len(order):
        dims = [None] * len(order)
    sizes = {
        axis: known or size for axis, known, size in zip(order, dims, stated_sizes, strict=True)
    }
    bands = len(stated.names)
    if view in ("row", "pixel"):
        return (bands,)
    height, width = sizes["height"], sizes["width"]
    if height is None or width is None:
        raise ValueError(
            "neither shape nor the ONNX file states height and width of a sample; state those that"
            " the model was trained with"
        )
    if bands * height * width > _MAX_SAMPLE:
        raise ValueError(f"samples of {bands} x {height} x {width} values are too large")
    if height != width:
        raise ValueError(f"samples are of {height} x {width} pixels, and scenes are cut in squares")
    if view == "patch" and height % 2 == 0:
        raise ValueError(
            f"samples of {height} x {width} pixels have no pixel in the middle, which a class or"
            " number of each pixel of a map would be of; whole images are not mapped"
        )
    return (bands, height, width)


def _adapted(model: onnx.ModelProto, how: Adaptation, described: _Described, target: Path) -> None:
    """Write the model with the platform's inputs and outputs, and run it on random samples.

    Raises:
        ImportRefused: it does not run on them, or gives other results in other batches.
    """
    samples = described.samples
    try:
        adapt(model, how, samples.shape)
        target.write_bytes(model.SerializeToString())
        names = list(samples.class_names)
        uploaded_onnx.read_sent(target, samples.shape, samples.task, len(names))
        # two also of large samples, as one alone is no batch
        count = max(2, min(_TRIED, samples_at_once(samples.shape)))
        X = np.random.default_rng(0).random((count, *samples.shape), dtype=np.float32)
        require_gives(target, X, names, described.pixels)
    except ExportError as error:
        raise ImportRefused(
            f"the ONNX file does not run as its record states: {error}; nothing was written."
            " Correct the record, or export the model again"
        ) from error


def _signature(
    described: _Described, record: ModelRecord, item: JsonObject, model: onnx.ModelProto
) -> Signature:
    samples = described.samples
    scaling = _scaling(described.input, item, len(samples.features))
    description = uploaded_onnx.describe_sent(model)
    return Signature(
        view=described.view,
        shape=list(samples.shape),
        features=list(samples.features),
        source_features=_source_bands(samples.features),
        scaling=[
            {"type": "z-score", "mean": entry.offset, "stddev": entry.divisor} for entry in scaling
        ]
        or None,
        classes=[OutputClass(name=entry.names[0], value=entry.value) for entry in described.classes]
        or None,
        apply_scale=samples.is_scaled,
        architecture=record.architecture or description.architecture,
        parameters=description.parameters,
    )


def _scaling(stated: ModelInput, item: JsonObject, bands: int) -> Sequence[BandScaling]:
    """Return what each band is scaled by: by callers, or inside of an ONNX file of this platform.

    It only decides what takes the place of NaN.
    """
    scaling = stated.scaling()
    properties = item.get("properties")
    inside = properties.get("mlops:native_input") if isinstance(properties, dict) else None
    if not scaling and isinstance(inside, list) and inside and isinstance(inside[0], dict):
        entries = inside[0].get("value_scaling")
        with suppress(ValueError):
            if isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
                scaling = value_scaling(cast("list[dict[str, object]]", entries))
    if len(scaling) == 1:
        return scaling * bands
    return scaling if len(scaling) == bands else ()


def _bands(names: Sequence[str], item: JsonObject, place: str) -> list[Band]:
    """Return what an Item states of the bands of its model, by their names."""
    _, asset = onnx_asset(item, place)
    properties = item.get("properties")
    listed = [asset.get("bands"), asset.get("eo:bands")]
    if isinstance(properties, dict):
        listed += [properties.get("bands"), properties.get("eo:bands")]
    known: dict[object, dict[str, object]] = {}
    for entries in reversed(listed):
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and isinstance(entry.get("name"), str):
                spectrum = {
                    name if ":" in name else f"eo:{name}": value for name, value in entry.items()
                }
                known[entry["name"]] = spectrum
    bands = [{**known.get(name, {}), "name": name} for name in names]
    return asset_bands({"properties": {}, "assets": {"model": {"bands": bands}}}, "model")


def _source_bands(names: Sequence[str]) -> list[str]:
    """Return the bands of the data that the model was trained on, as far as names identify it.

    Bands that are called `B001`, … have no other name than their place in a file.
    """
    if names and all(NUMBERED.fullmatch(name) for name in names):
        last = max(int(name[1:]) for name in names)
        return [f"B{number:03d}" for number in range(1, last + 1)]
    return list(names)


def _assumed(described: _Described, found: Fetched) -> Iterator[str]:
    if found.unchecked:
        yield f"the file at {found.place} is the right one: no checksum is stated"
    if described.view == "patch":
        yield "what it returns for a patch is of the pixel in the middle"
    if all(NUMBERED.fullmatch(name) for name in described.samples.features):
        yield "bands of scenes without names are called B001, B002, … in file order"
