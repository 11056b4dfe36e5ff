"""Rows of the request log, one a sample, and how they are made of exchanges.

Nothing is read or written here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlops_assets.models.reference.bands import band_statistics
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.sessions.interface import Exchange, ServedVersion

# of a sample, as float32; of larger ones only the statistics are kept
MAX_INPUT_BYTES = 64 << 10
# views whose samples have several values a band, and so statistics
BAND_VIEWS = frozenset({"patch", "window", "image"})
MICROSECONDS = 1_000_000
DAY_SECONDS = 86_400
# years that requests may be of; others are mistakes
YEARS = range(2000, 2101)
_VALUES = pa.list_(pa.field("item", pa.float32(), nullable=False))
# `writer` distinguishes the same request at two servers; `label` is -1 for windows
SCHEMA = pa.schema(
    [
        pa.field("request", pa.string(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("time", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("data_version", pa.string(), nullable=False),
        pa.field("onnx", pa.string(), nullable=False),
        pa.field("caller", pa.string(), nullable=False),
        pa.field("writer", pa.string(), nullable=False),
        pa.field("latency_ms", pa.float32(), nullable=False),
        pa.field("inputs", _VALUES),
        pa.field("statistics", _VALUES),
        pa.field("label", pa.int32()),
        pa.field("scores", _VALUES),
        pa.field("number", pa.float32()),
    ]
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Exchanges whose rows can be made at once have the same of it.

    Attributes:
        served: identity of the model version.
        shape: of a sample.
        outputs: names of those that were computed.
        pixels: number of axes of the scores behind that of the classes.
    """

    served: int
    shape: tuple[int, ...]
    outputs: tuple[str, ...]
    pixels: int


def day_number(started: float) -> int:
    """Return the number of a UTC day since 1970.

    Args:
        started: seconds since the epoch.
    """
    return int(started // DAY_SECONDS)


def day_name(number: int) -> str:
    """Return a day as `YYYY-MM-DD`.

    Args:
        number: of the UTC day since 1970.
    """
    return datetime.fromtimestamp(number * DAY_SECONDS, UTC).date().isoformat()


def is_sampled(request: str, share: float) -> bool:
    """Return whether a request is logged; the same for each try of a request.

    Args:
        request: its id.
        share: of the requests that are logged.
    """
    if share >= 1:
        return True
    digest = hashlib.blake2b(request.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


def request_digest(request: str) -> str:
    """Return the sha256 of the id of a request, by which it is named once it is deleted."""
    return hashlib.sha256(request.encode("utf-8", "surrogatepass")).hexdigest()


def record_batches(
    exchanges: Sequence[Exchange], writer: str, keep: bool
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of exchanges with one model.

    Args:
        exchanges: in any order.
        writer: id of the writer.
        keep: keep inputs up to 64 KiB a sample whole.

    Raises:
        ValueError: an exchange has tensors of shapes that no model has.
    """
    for _, group in groupby(exchanges, _kind):
        yield _record_batch(list(group), writer, keep)


def _input(exchange: Exchange) -> NDArray[np.generic]:
    inputs = exchange.inputs
    # models of the registry have one input
    return (
        inputs[exchange.served.inputs[0].name] if len(inputs) > 1 else next(iter(inputs.values()))
    )


def _kind(exchange: Exchange) -> _Kind:
    outputs = exchange.outputs
    scores = outputs.get("scores")
    pixels = 0 if scores is None else scores.ndim - 2
    return _Kind(id(exchange.served), _input(exchange).shape[1:], tuple(outputs), pixels)


def _record_batch(exchanges: Sequence[Exchange], writer: str, keep: bool) -> pa.RecordBatch:
    served = exchanges[0].served
    inputs = [_input(exchange) for exchange in exchanges]
    counts = np.fromiter((len(values) for values in inputs), np.int64, len(inputs))
    total = int(counts.sum())
    requests = [exchange.id for exchange in exchanges]
    callers = [exchange.caller for exchange in exchanges]
    starts = np.fromiter((exchange.started for exchange in exchanges), np.float64, len(exchanges))
    seconds = np.fromiter((exchange.seconds for exchange in exchanges), np.float64, len(exchanges))
    if total != len(exchanges):
        requests = np.repeat(np.array(requests, dtype=object), counts).tolist()
        callers = np.repeat(np.array(callers, dtype=object), counts).tolist()
        starts, seconds = np.repeat(starts, counts), np.repeat(seconds, counts)
        first = np.repeat(np.cumsum(counts) - counts, counts)
        rows = (np.arange(total) - first).astype(np.int32)
    else:
        rows = np.zeros(total, dtype=np.int32)
    times = np.round(starts * MICROSECONDS).astype(np.int64)
    kept, statistics = _kept(served.signature, inputs, total, keep)
    labels, scores, numbers = _predictions(exchanges, total)
    columns = [
        _texts(requests),
        numbers_array(rows, pa.int32()),
        numbers_array(times, SCHEMA.field("time").type),
        *(_repeated(text, total) for text in _constants(served)),
        _texts(callers),
        _repeated(writer, total),
        numbers_array((seconds * 1000).astype(np.float32), pa.float32()),
        kept,
        statistics,
        labels,
        scores,
        numbers,
    ]
    batch = pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
    batch.validate()
    return batch


def _constants(served: ServedVersion) -> tuple[str, str, str, str]:
    row = served.row
    return served.name, served.version, f"{row.dataset}@{row.data_version}", served.sha256


def _kept(
    signature: Signature, inputs: Sequence[NDArray[np.generic]], total: int, keep: bool
) -> tuple[pa.Array, pa.Array]:
    """Return inputs and statistics of samples of one shape.

    What is kept whole gets its statistics when its day is compacted.
    """
    width = int(np.prod(inputs[0].shape[1:], dtype=np.int64))
    if keep and 4 * width <= MAX_INPUT_BYTES:
        with np.errstate(over="ignore"):
            flat = np.concatenate(
                [values.reshape(-1) for values in inputs], dtype=np.float32, casting="unsafe"
            )
        return lists(flat.reshape(total, width)), pa.nulls(total, _VALUES)
    if signature.view not in BAND_VIEWS or inputs[0].ndim < 3:
        return pa.nulls(total, _VALUES), pa.nulls(total, _VALUES)
    # sample by sample, as one may be large
    samples = (values[k : k + 1] for values in inputs for k in range(len(values)))
    found = [band_statistics(sample.astype(np.float32, copy=False)) for sample in samples]
    return pa.nulls(total, _VALUES), lists(np.concatenate(found).reshape(total, -1))


def _predictions(exchanges: Sequence[Exchange], total: int) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return labels, scores and numbers of samples of exchanges with the same outputs."""
    labels: pa.Array = pa.nulls(total, pa.int32())
    scores: pa.Array = pa.nulls(total, _VALUES)
    numbers: pa.Array = pa.nulls(total, pa.float32())
    outputs = exchanges[0].outputs
    if "scores" in outputs:
        found = np.concatenate([_pixel_mean(exchange, "scores", 2) for exchange in exchanges])
        scores = lists(found)
        best = found.argmax(axis=1).astype(np.int32)
        labels = numbers_array(
            best if outputs["scores"].ndim == 2 else -np.ones_like(best), pa.int32()
        )
    if "label" in outputs:
        found = np.concatenate([exchange.outputs["label"] for exchange in exchanges])
        indices = found.astype(np.int32) if found.ndim == 1 else np.full(total, -1, np.int32)
        labels = numbers_array(indices, pa.int32())
    if "value" in outputs:
        found = np.concatenate([_pixel_mean(exchange, "value", 1) for exchange in exchanges])
        numbers = numbers_array(found, pa.float32())
    return labels, scores, numbers


def _pixel_mean(exchange: Exchange, name: str, axes: int) -> NDArray[np.float32]:
    """Return an output with its mean over the pixels of windows.

    Args:
        exchange: has the output.
        name: of the output.
        axes: that it has without pixels.
    """
    values = exchange.outputs[name]
    if values.ndim == axes:
        return values.astype(np.float32, copy=False)
    pixels = tuple(range(axes, values.ndim))
    return np.asarray(values.mean(axis=pixels, dtype=np.float64), dtype=np.float32)


def lists(values: NDArray[np.float32]) -> pa.ListArray:
    """Return the rows of a matrix, (n, width), as lists of values."""
    total, width = values.shape
    offsets = np.arange(total + 1, dtype=np.int32) * np.int32(width)
    flat = numbers_array(np.ascontiguousarray(values).reshape(-1), pa.float32())
    return pa.ListArray.from_buffers(_VALUES, total, [None, pa.py_buffer(offsets)], children=[flat])


# `pa.array` imports pandas, which a server has no other use for: 0.3 s and 40 MiB


def numbers_array(values: NDArray[np.generic], kind: pa.DataType) -> pa.Array:
    """Return a NumPy array as an Arrow array of a type of the same width, not copied."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def _texts(texts: Sequence[str]) -> pa.Array:
    encoded = [text.encode("utf-8", "replace") for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return _text_array(offsets, b"".join(encoded))


def _repeated(text: str, count: int) -> pa.Array:
    encoded = text.encode("utf-8", "replace")
    return _text_array(np.arange(count + 1, dtype=np.int32) * len(encoded), encoded * count)


def _text_array(offsets: NDArray[np.int32], joined: bytes) -> pa.Array:
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(joined)]
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)
