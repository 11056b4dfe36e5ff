"""`log_predictions`: predictions that were made in anyone's code, in the request log.

They are checked against the model version, and written at once.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlops_assets.errors import SpecificationError
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder, segments_folder
from mlops_assets.principals import Role
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.request_log.rows import (
    SCHEMA,
    YEARS,
    day_name,
    day_number,
    record_batches,
)
from mlops_assets.serving.request_log.spool import SEGMENT
from mlops_assets.serving.sessions.interface import Exchange, ServedVersion, TensorSpec
from mlops_assets.store import Store

MAX_ID = 255  # characters
# one writer for all clients, so that predictions that are logged again are there once
WRITER = "client"
_OUTPUTS = ("label", "scores", "value")
_LATENCY = 0.0


def log_samples(
    store: Store,
    reference: Reference,
    inputs: ArrayLike,
    outputs: Mapping[str, ArrayLike],
    ids: Sequence[str],
    times: datetime | Sequence[datetime] | None = None,
) -> int:
    """Log predictions, one sample a request.

    Args:
        store: workspace and registry; its principal is the caller.
        reference: of the model version, or an alias.
        inputs: as the ONNX file takes them, raw, (n, *shape) of the signature.
        outputs: `label` (n,), class indices, and `scores` (n, classes), or `value` (n,); windows
            have their pixels behind these axes.
        ids: of the requests, (n,), by which labels are added later; each once.
        times: when they were made, with a time zone; now if not given.

    Returns:
        The number of samples.

    Raises:
        Forbidden: the principal is not a scientist.
        NotFound: there is no such model version.
        SpecificationError: ids, inputs or outputs do not suit the model version.
        StorageError: the workspace cannot be written.
    """
    store.registry.principal.require(Role.SCIENTIST, "log predictions")
    row = store.registry.model_version(reference)
    signature = Signature.of(row)
    _require_ids(ids)
    X = _samples(inputs, signature, len(ids))
    found = {name: _output(name, values, signature, len(ids)) for name, values in outputs.items()}
    _require_outputs(found, signature)
    moments = _seconds(times, len(ids))
    served = _served(store, row)
    exchanges = [
        Exchange(
            id=text,
            served=served,
            caller=store.user,
            started=moments[k],
            seconds=_LATENCY,
            inputs={"input": X[k : k + 1]},
            outputs={name: values[k : k + 1] for name, values in found.items()},
        )
        for k, text in enumerate(ids)
    ]
    write_exchanges(store, exchanges, WRITER)
    return len(ids)


def write_exchanges(store: Store, exchanges: Sequence[Exchange], writer: str) -> None:
    """Write exchanges with one model as segments, one a day.

    Args:
        store: workspace and registry.
        exchanges: with one model.
        writer: id of the writer.

    Raises:
        StorageError: the workspace cannot be written.
    """
    by_day: dict[int, list[Exchange]] = {}
    for exchange in exchanges:
        by_day.setdefault(day_number(exchange.started), []).append(exchange)
    for day, of_day in by_day.items():
        messages = [SCHEMA.serialize()]
        for part in _parts(of_day):
            messages += [batch.serialize() for batch in record_batches(part, writer, keep=True)]
        folder = segments_folder(of_day[0].served.name, day_name(day))
        # by time, as the first of those with the same id counts
        name = f"{writer}-{time.time_ns():020}-{uuid.uuid4().hex[:8]}{SEGMENT}"
        store.workspace.put(f"{folder}/{name}", b"".join(messages))


def _parts(exchanges: Sequence[Exchange]) -> Iterator[Sequence[Exchange]]:
    for start in range(0, len(exchanges), 256):
        yield exchanges[start : start + 256]


def _served(store: Store, row: ModelVersion) -> ServedVersion:
    files = store.registry.files_at(f"{model_folder(row.model, row.version)}/model.onnx")
    return served_version(row, files[0].sha256 if files else "")


def served_version(row: ModelVersion, sha256: str) -> ServedVersion:
    """Return a model version as whatever serves it has it, by its signature.

    Args:
        row: of the model version.
        sha256: of its ONNX file.
    """
    signature = Signature.of(row)
    pixels = tuple(signature.shape[1:]) if signature.view == "window" else ()
    outputs = [TensorSpec("value", "FP32", (-1, *pixels))]
    if signature.classes is not None:
        outputs = [
            TensorSpec("label", "INT64", (-1, *pixels)),
            TensorSpec("scores", "FP32", (-1, len(signature.classes), *pixels)),
        ]
    return ServedVersion(
        row=row,
        alias=row.version,
        sha256=sha256,
        signature=signature,
        inputs=(TensorSpec("input", "FP32", (-1, *signature.shape)),),
        outputs=tuple(outputs),
        properties={},
    )


def _require_ids(ids: Sequence[str]) -> None:
    """Refuse ids by which predictions could not be found again.

    Raises:
        SpecificationError: one is not a text of 1 to 255 characters, or is there twice.
    """
    if isinstance(ids, str):
        raise SpecificationError("ids is one text; give a list with one id a sample")
    for text in ids:
        if not isinstance(text, str) or not 0 < len(text) <= MAX_ID or not text.isprintable():
            raise SpecificationError(
                f"id {str(text)[:MAX_ID]!r} cannot be used: take texts of 1 to {MAX_ID} printable"
                " characters"
            )
    if len(set(ids)) != len(ids):
        seen: set[str] = set()
        repeated = next(text for text in ids if text in seen or seen.add(text))  # type: ignore[func-returns-value]
        raise SpecificationError(
            f"id {repeated!r} is there twice; give each prediction an id of its own"
        )


def _samples(inputs: ArrayLike, signature: Signature, count: int) -> NDArray[np.float32]:
    expected = (count, *signature.shape)
    X = np.asarray(inputs)
    if X.dtype.kind not in "biuf" or X.shape != expected:
        raise SpecificationError(
            f"inputs are {X.dtype} of shape {X.shape}; the model takes numbers of shape {expected}"
            " for as many ids"
        )
    with np.errstate(over="ignore"):
        return X.astype(np.float32, copy=False)


def _output(name: str, values: ArrayLike, signature: Signature, count: int) -> NDArray[np.generic]:
    if name not in _OUTPUTS:
        raise SpecificationError(
            f"output {name!r} is not logged; give {' or '.join(_OUTPUTS)} as the ONNX file names"
            " them"
        )
    found = np.asarray(values)
    pixels = tuple(signature.shape[1:]) if signature.view == "window" else ()
    classes = len(signature.classes or ())
    expected = (count, *((classes,) if name == "scores" else ()), *pixels)
    if found.dtype.kind not in ("iu" if name == "label" else "iuf") or found.shape != expected:
        kind = "class indices" if name == "label" else "numbers"
        raise SpecificationError(
            f"{name} is {found.dtype} of shape {found.shape}; expected are {kind} of shape"
            f" {expected}"
        )
    if name == "label" and count and not 0 <= found.min() <= found.max() < classes:
        raise SpecificationError(
            f"label has class indices {found.min()} to {found.max()}; the model has {classes}"
            " classes, the first is 0"
        )
    return found


def _require_outputs(outputs: Mapping[str, object], signature: Signature) -> None:
    needed = {"value"} if signature.classes is None else {"label", "scores"}
    if not outputs or not outputs.keys() <= needed:
        raise SpecificationError(
            f"outputs are {', '.join(sorted(outputs)) or 'empty'}; the model gives"
            f" {' and '.join(sorted(needed))}"
        )


def _seconds(times: datetime | Sequence[datetime] | None, count: int) -> list[float]:
    """Return when predictions were made, in seconds since the epoch.

    Raises:
        SpecificationError: there is not one for each, or one has no time zone.
    """
    if times is None:
        times = datetime.now(UTC)
    moments = [times] * count if isinstance(times, datetime) else list(times)
    if len(moments) != count:
        raise SpecificationError(f"there are {len(moments)} times for {count} ids")
    if any(moment.tzinfo is None for moment in moments):
        raise SpecificationError("a time has no time zone; give datetime.now(UTC), for example")
    if any(moment.year not in YEARS for moment in moments):
        raise SpecificationError(
            f"a time is not of the years {YEARS[0]} to {YEARS[-1]}; check its unit"
        )
    return [moment.timestamp() for moment in moments]
