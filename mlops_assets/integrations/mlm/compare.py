"""The graph of an ONNX file and its record, compared with the data that it is to run on.

All that does not fit is listed; what makes it fit is an `Adaptation`, which `adapt` puts into the
graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.integrations.mlm.record import (
    UNSCALE,
    ModelInput,
    ModelOutput,
    ModelRecord,
    Structure,
)
from mlops_assets.integrations.mlm.scaling import BandScaling
from mlops_assets.integrations.mlm.tensors import dims_of, inputs_of, shape_text, type_of

if TYPE_CHECKING:
    import onnx

# axis here → its names in `dim_order`
_AXES = {
    "batch": ("batch", "b", "n", "samples"),
    "bands": ("bands", "band", "channels", "channel", "c", "variables", "variable", "features"),
    "height": ("height", "h", "y"),
    "width": ("width", "w", "x"),
}
_CLASS_AXIS = ("class", "classes", "score", "scores", "confidence", "probability", "probabilities")
_IMAGE = ("batch", "bands", "height", "width")
MAX_LABEL = 65_535


@dataclass(frozen=True)
class Samples:
    """The samples that a model is to take, and what is to be known of each.

    Attributes:
        reference: of the data that they are from, for messages.
        task: `classification`, `semantic-segmentation` or `regression`.
        view: shape of a sample: `row`, `pixel`, `patch`, `window` or `image`.
        features: names of the features or bands, in order.
        shape: of one sample: (features,), or (bands, height, width) in pixels.
        class_names: in the order of class indices; empty for regression.
        is_scaled: whether values are physical, and not as they are stored.
    """

    reference: str
    task: str
    view: str
    features: Sequence[str]
    shape: tuple[int, ...]
    class_names: Sequence[str]
    is_scaled: bool

    @classmethod
    def of(cls, data: TrainingData) -> Samples:
        """Return those of a data version, raw."""
        return cls(
            data.reference,
            data.task,
            data.view,
            data.features,
            data.sample_shape,
            data.class_names,
            data.committed.is_scaled,
        )


@dataclass(frozen=True)
class Adaptation:
    """What makes an ONNX file take the samples of a dataset, and give what is evaluated.

    Attributes:
        source: name of the graph's input.
        data_type: of that input, as a number of TensorProto.
        bands: index of the data's band for each band of the model; None if they are the same.
        scaling: of each band of the model, in its order; empty if nothing is scaled.
        axes: for each axis of the input, the axis of samples (batch, bands, height, width); None if
            they are the same.
        output: name of the graph's output that is evaluated.
        output_rank: number of its axes.
        gives: `scores`, `label` or `value`.
        output_axes: for each axis of (batch, classes, height, width), the axis of that output; None
            if they are the same.
        classes: of scores, index of the model's class for each class of the data; of labels, value
            → index of the data's class; None if they are the same.
        assumed: what neither graph nor record states.
    """

    source: str
    data_type: int
    output: str
    output_rank: int
    gives: str
    bands: tuple[int, ...] | None = None
    scaling: tuple[BandScaling, ...] = ()
    axes: tuple[int, ...] | None = None
    output_axes: tuple[int, ...] | None = None
    classes: tuple[int, ...] | Mapping[int, int] | None = None
    assumed: list[str] = field(default_factory=list)


def compare(
    model: onnx.ModelProto, record: ModelRecord, data: Samples
) -> tuple[Adaptation | None, list[str]]:
    """Compare a model with its record and with data; return how it is adapted, or all problems.

    Args:
        model: of one file, with operators of ONNX only.
        record: as it was read.
        data: the samples it is to run on.
    """
    comparison = _Comparison(model, record, data)
    found = comparison.adaptation()
    return (None, comparison.problems) if comparison.problems else (found, [])


class _Comparison:
    """One comparison; problems are collected."""

    def __init__(self, model: onnx.ModelProto, record: ModelRecord, data: Samples) -> None:
        self._model = model
        self._record = record
        self._data = data
        self.problems: list[str] = []
        self._assumed: list[str] = []

    def adaptation(self) -> Adaptation | None:
        """Return the adaptation; None, or one of no use, if there are problems."""
        record, data = self._record, self._data
        (source,) = inputs_of(self._model)
        if data.task not in record.tasks:
            self.problems.append(
                f"mlm:tasks: the record has {', '.join(record.tasks)}, and the model is declared"
                f" for {data.task}"
            )
        described = record.input or self._assumed_input(source)
        self._compare_type("mlm:input", described.input, source)
        bands = self._bands(described)
        scaling = self._scaling(described)
        axes = self._input_axes(described, source)
        self._compare_values(described)
        chosen = self._output()
        if chosen is None:
            return None
        gives, recorded, output = chosen
        self._compare_type("mlm:output", recorded.result, output)
        return Adaptation(
            source=source.name,
            data_type=source.type.tensor_type.elem_type,
            bands=bands,
            scaling=scaling,
            axes=axes,
            output=output.name,
            output_rank=len(recorded.result.dim_order),
            gives=gives,
            output_axes=self._output_axes(gives, recorded, output),
            classes=self._classes(gives, recorded) if gives != "value" else None,
            assumed=self._assumed,
        )

    def _assumed_input(self, source: onnx.ValueInfoProto) -> ModelInput:
        """Return a description of the input by its shape and the bands of the data."""
        dims = dims_of(source) or [None] * (1 + len(self._data.shape))
        count = len(self._data.features)
        order = ["batch", "bands", "height", "width"]
        if len(dims) == 4 and dims[1] != count and dims[3] == count:
            order = ["batch", "height", "width", "bands"]
        names = (
            order[: len(dims)] if len(dims) in (2, 4) else [f"axis{i}" for i in range(len(dims))]
        )
        self._assumed += [
            f"the input takes {', '.join(self._data.features)} in this order",
            f"the axes of the input are {', '.join(names)}",
            "values are taken raw: the ONNX file scales them itself, if they are scaled",
        ]
        structure = Structure(
            shape=[size or -1 for size in dims],
            dim_order=names,
            data_type=type_of(source),
        )
        return ModelInput(name=source.name, input=structure, bands=list(self._data.features))

    def _compare_type(self, where: str, recorded: Structure, value: onnx.ValueInfoProto) -> None:
        dims = dims_of(value)
        given = shape_text(dims) if dims else ""
        if dims is not None and (
            len(dims) != len(recorded.shape)
            or any(
                size is not None and stated > 0 and size != stated
                for size, stated in zip(dims, recorded.shape, strict=True)
            )
        ):
            self.problems.append(
                f"{where}: the record states the shape {shape_text(recorded.shape)}, and"
                f" {value.name} of the ONNX file has {given}; correct the record"
            )
        if recorded.data_type != type_of(value):
            self.problems.append(
                f"{where}: the record states the data type {recorded.data_type}, and {value.name}"
                f" of the ONNX file has {type_of(value)}; correct the record"
            )

    def _bands(self, described: ModelInput) -> tuple[int, ...] | None:
        names, have = described.names, list(self._data.features)
        if sorted(names) != sorted(have):
            self.problems.append(
                f"mlm:input: the record takes {', '.join(names)}, and the model is declared on"
                f" {', '.join(have)} of {self._data.reference}; name the same in both"
            )
            return None
        return None if names == have else tuple(have.index(name) for name in names)

    def _scaling(self, described: ModelInput) -> tuple[BandScaling, ...]:
        scaling, count = described.scaling(), len(described.names)
        if len(scaling) not in (0, 1, count):
            self.problems.append(
                f"mlm:input: the record scales {len(scaling)} bands and takes {count}; state one"
                " scaling for each, or one for all"
            )
        return scaling * count if len(scaling) == 1 else scaling

    def _input_axes(
        self, described: ModelInput, source: onnx.ValueInfoProto
    ) -> tuple[int, ...] | None:
        stated = described.input.dim_order
        found = [axis_of(name) for name in stated]
        wanted = _IMAGE[: 1 + len(self._data.shape)]
        if sorted(filter(None, found)) != sorted(wanted) or len(found) != len(wanted):
            self.problems.append(
                f"mlm:input: the axes are {', '.join(stated)}, and samples of"
                f" {self._data.reference} have {', '.join(wanted)}; give a model of such samples"
            )
            return None
        axes = tuple(wanted.index(str(name)) for name in found)
        sizes = (None, *self._data.shape)
        dims = dims_of(source) or [size if size > 0 else None for size in described.input.shape]
        for position, size in enumerate(dims[: len(axes)]):
            have = sizes[axes[position]]
            if size is not None and have is not None and size != have:
                # counts of bands are compared by name
                self.problems.append(
                    f"mlm:input: the {wanted[axes[position]]} of the input is {size}, and of"
                    f" samples of {self._data.reference} {have}; declare the dataset with samples"
                    f" of that size (resize_type {described.resize_type or 'null'} is not applied)"
                )
        return None if axes == tuple(range(len(axes))) else axes

    def _compare_values(self, described: ModelInput) -> None:
        physical = self._data.is_scaled
        unscales = any(step.format == UNSCALE for step in described.pre_processing_function)
        wanted = self._record.apply_scale or unscales
        if wanted != physical and (wanted or self._record.apply_scale is not None):
            of = {True: "physical values", False: "values as they are stored"}
            self.problems.append(
                f"mlm:input: the record takes {of[wanted]}, and {self._data.reference} has"
                f" {of[physical]}; see 'apply_scale' of the dataset's source"
            )

    def _output(self) -> tuple[str, ModelOutput, onnx.ValueInfoProto] | None:
        """Return the output that is evaluated, scores before labels, and what it gives."""
        outputs = {entry.name: entry for entry in self._model.graph.output}
        pairs = [
            (recorded, outputs[recorded.name])
            for recorded in self._record.outputs
            if recorded.name in outputs
        ]
        if not pairs and len(outputs) == 1 and len(self._record.outputs) == 1:
            pairs = [(self._record.outputs[0], next(iter(outputs.values())))]
        if not self._record.outputs:
            pairs = [(self._assumed_output(entry), entry) for entry in outputs.values()]
        kinds = [(self._gives(recorded, entry), recorded, entry) for recorded, entry in pairs]
        for kind in ("value", "scores", "label"):
            for found in kinds:
                if found[0] == kind:
                    return kind, found[1], found[2]
        listed = ", ".join(
            f"{name} {type_of(entry)} {shape_text(dims_of(entry) or [])}"
            for name, entry in outputs.items()
        )
        recorded = ", ".join(entry.name or "unnamed" for entry in self._record.outputs)
        needed = (
            "one number a sample"
            if self._data.task == "regression"
            else f"a score for each of the {len(self._data.class_names)} classes, or an integer"
        )
        self.problems.append(
            f"mlm:output: the ONNX file has {listed or 'no output'}, the record describes"
            f" {recorded or 'none'}; for {self._data.task} it must describe an output by the name"
            f" that it has in the file, with {needed}"
        )
        return None

    def _assumed_output(self, entry: onnx.ValueInfoProto) -> ModelOutput:
        dims = dims_of(entry) or []
        order = ["batch", "class", "height", "width"]
        classes = len(self._data.class_names)
        if len(dims) == 4 and dims[1] != classes and dims[3] == classes:
            order = ["batch", "height", "width", "class"]
        if len(dims) == 3 or (len(dims) == 1 and self._data.task != "regression"):
            order = ["batch", "height", "width"]
        names = [*order, *(f"axis{i}" for i in range(len(dims)))][: len(dims)]
        self._assumed.append(f"the axes of the output {entry.name} are {', '.join(names)}")
        structure = Structure(
            shape=[size or -1 for size in dims], dim_order=names, data_type=type_of(entry)
        )
        return ModelOutput(name=entry.name, result=structure)

    def _gives(self, recorded: ModelOutput, entry: onnx.ValueInfoProto) -> str | None:
        dims = dims_of(entry) or [size if size > 0 else None for size in recorded.result.shape]
        order = [name.lower() for name in recorded.result.dim_order]
        if len(dims) != len(order):
            # reported as another shape
            order = [*order, *("unknown" for _ in dims)][: len(dims)]
        is_float = type_of(entry).startswith("float")
        if self._data.task == "regression":
            single = all(size in (None, 1) for size in dims[1:])
            return "value" if is_float and len(dims) in (1, 2) and single else None
        position = _class_axis(order)
        size = dims[position] if position is not None else 1
        if is_float and position is not None and size in (None, len(self._data.class_names)):
            return "scores"
        return "label" if not is_float and size == 1 else None

    def _output_axes(
        self, gives: str, recorded: ModelOutput, entry: onnx.ValueInfoProto
    ) -> tuple[int, ...] | None:
        """Return the order of axes that gives (batch, classes, height, width)."""
        if gives == "value":
            return None
        order = [name.lower() for name in recorded.result.dim_order]
        position = _class_axis(order)
        found = ["bands" if i == position else axis_of(name) for i, name in enumerate(order)]
        pixels = ["height", "width"] if self._data.view == "window" else []
        wanted = ["batch", *(["bands"] if position is not None else []), *pixels]
        if sorted(filter(None, found)) != sorted(wanted) or len(found) != len(wanted):
            self.problems.append(
                f"mlm:output: the axes of {entry.name} are {', '.join(order)}, and needed are"
                f" {', '.join(wanted).replace('bands', 'class')} in any order"
            )
            return None
        axes = tuple(found.index(name) for name in wanted)
        return None if axes == tuple(range(len(axes))) else axes

    def _classes(
        self, gives: str, recorded: ModelOutput
    ) -> tuple[int, ...] | Mapping[int, int] | None:
        names = self._data.class_names
        if self._record.input is None:
            self._assumed.append(f"its classes are {', '.join(names)}, in this order")
            return None
        known = next(
            (output.classes for output in [recorded, *self._record.outputs] if output.classes), []
        )
        values = [entry.value for entry in known]
        # a class is named by the value of its label, or by its place among the scores
        by_value = not recorded.gives_indices and (
            gives == "label" or sorted(values) == list(range(len(values)))
        )
        positions = values if by_value else list(range(len(values)))
        indices: list[int] = []
        unknown = list(known)
        for name in names:
            matching = [
                position
                for position, entry in zip(positions, known, strict=True)
                if plain_name(name) in map(plain_name, entry.names)
            ]
            indices += matching[:1]
            unknown = [
                entry for entry in unknown if plain_name(name) not in map(plain_name, entry.names)
            ]
        if len(indices) != len(names) or unknown:
            recorded_names = ", ".join((entry.names or ["?"])[0] for entry in known) or "none"
            self.problems.append(
                f"mlm:output: classification:classes of the record are {recorded_names}, and the"
                f" classes of {self._data.reference} are {', '.join(names)}; name the same in both"
            )
            return None
        if gives == "label":
            return self._lookup({value: index for index, value in enumerate(indices)})
        return None if indices == list(range(len(names))) else tuple(indices)

    def _lookup(self, values: Mapping[int, int]) -> Mapping[int, int] | None:
        if any(not 0 <= value <= MAX_LABEL for value in values):
            self.problems.append(
                f"mlm:output: values of classes must be from 0 to {MAX_LABEL} where the model"
                " gives labels; give a model with scores"
            )
        return None if all(value == index for value, index in values.items()) else values


def axis_of(name: str) -> str | None:
    """Return the axis that a name in `dim_order` means; None if unknown."""
    return next((axis for axis, names in _AXES.items() if name.lower() in names), None)


def _class_axis(order: Sequence[str]) -> int | None:
    """Return the axis of classes; a band or channel of an output is one, too."""
    for names in (_CLASS_AXIS, _AXES["bands"]):
        for position, name in enumerate(order):
            if name in names:
                return position
    return None


def plain_name(name: str) -> str:
    """Return the letters and digits of the name of a class, by which classes are compared."""
    return "".join(c for c in name.casefold() if c.isalnum())
