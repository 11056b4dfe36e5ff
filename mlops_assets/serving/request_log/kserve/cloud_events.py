"""CloudEvents of KServe's inference logger: read, and a request paired with its response.

KServe sends one event for the request and one for the response, with the same id, in the binary
content mode of the CloudEvents HTTP binding 1.0.2; its attributes are those of `pkg/logger` of
KServe. Nothing is logged here.
"""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import unquote

import orjson

from mlops_assets.errors import RequestRefused
from mlops_assets.serving.protocol.request import MAX_ID, read_document
from mlops_assets.serving.protocol.tensors import shown
from mlops_assets.serving.request_log.rows import YEARS

Part = Literal["request", "response"]
TYPES: Mapping[str, Part] = {
    "org.kubeflow.serving.inference.request": "request",
    "org.kubeflow.serving.inference.response": "response",
}
STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
SERVICE = "inferenceservicename"
_JSON = "application/json"


@dataclass(frozen=True)
class InferenceEvent:
    """A request or a response of an InferenceService.

    Attributes:
        id: of the request; its response has the same.
        part: which of both it is.
        service: name of the InferenceService.
        time: when it was sent, seconds since the epoch; that of its arrival if it states none.
        metadata: headers of the request that KServe was asked to log, by names in small letters.
        annotations: of the InferenceService that KServe was asked to log.
        data: body of the request or response.
    """

    id: str
    part: Part
    service: str
    time: float
    metadata: Mapping[str, str]
    annotations: Mapping[str, str]
    data: bytes


def read_event(headers: Mapping[str, str], body: bytes) -> InferenceEvent:
    """Return the event of an HTTP request, in the binary or the structured content mode.

    Args:
        headers: by names in small letters.
        body: of the request.

    Raises:
        RequestRefused: it is not an event of KServe's inference logger.
    """
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == BATCHED:
        raise RequestRefused("events in batches are not supported; send each by itself", 415)
    if content_type == STRUCTURED:
        attributes = read_document(body)
        data = _structured_data(attributes)
    else:
        attributes = {
            name.removeprefix("ce-"): unquote(value)
            for name, value in headers.items()
            if name.startswith("ce-")
        }
        data = body
    if attributes.get("specversion") != "1.0":
        raise RequestRefused(
            f"the attribute 'specversion' is {shown(attributes.get('specversion'))}: send a"
            " CloudEvent of version 1.0, with headers ce-… or as application/cloudevents+json"
        )
    kind = attributes.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise RequestRefused(
            f"events of type {shown(kind)} are not logged; send {', '.join(TYPES)}"
        )
    return InferenceEvent(
        id=_text(attributes, "id"),
        part=TYPES[kind],
        service=_text(attributes, SERVICE),
        time=_seconds(attributes.get("time")),
        metadata=_metadata(attributes.get("metadata")),
        annotations=_metadata(attributes.get("annotations")),
        data=data,
    )


def _structured_data(attributes: Mapping[str, object]) -> bytes:
    if "data_base64" in attributes:
        encoded = attributes["data_base64"]
        try:
            return base64.b64decode(encoded, validate=True)  # type: ignore[arg-type]
        except (TypeError, ValueError, binascii.Error):
            raise RequestRefused("'data_base64' is not Base64") from None
    data = attributes.get("data")
    if isinstance(data, str):
        return data.encode(errors="replace")
    try:
        return b"" if data is None else orjson.dumps(data)
    except orjson.JSONEncodeError as error:  # it writes fewer levels than it reads
        raise RequestRefused(f"'data' cannot be used: {error}; send 'data_base64'") from None


def _text(attributes: Mapping[str, object], name: str) -> str:
    value = attributes.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID or not value.isprintable():
        raise RequestRefused(
            f"the attribute {name!r} is {shown(value)}: write a text of 1 to {MAX_ID} printable"
            " characters"
        )
    return value


def _seconds(value: object) -> float:
    if value is None:
        return time.time()
    try:
        moment = datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None or moment.year not in YEARS:
        raise RequestRefused(
            f"the attribute 'time' is {shown(value)}: write it as RFC 3339 has it, or leave it out"
        )
    return moment.timestamp()


def _metadata(value: object) -> dict[str, str]:
    """Return a JSON object of texts, or of lists of texts as headers are; {} if it is none."""
    if not isinstance(value, str) or len(value) > (64 << 10):
        return {}
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(found, dict):
        return {}
    firsts = {
        name.lower(): entry[0] if isinstance(entry, list) and entry else entry
        for name, entry in found.items()
    }
    return {name: entry for name, entry in firsts.items() if isinstance(entry, str)}


@dataclass(frozen=True)
class PairLimits:
    """Limits of events that wait for their other half.

    Attributes:
        bytes: of their data.
        events: their number.
        seconds: that one waits.
    """

    bytes: int = 64 << 20
    events: int = 10_000
    seconds: float = 600.0


class EventPairs:
    """Events that wait for their other half, the oldest of which make room."""

    def __init__(
        self, limits: PairLimits = PairLimits(), clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Wait for events.

        Args:
            limits: of what waits.
            clock: seconds of a clock that only advances.
        """
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: OrderedDict[tuple[str, str, Part], tuple[float, InferenceEvent]] = (
            OrderedDict()
        )
        self._bytes = 0
        self.expired = 0

    def add(self, event: InferenceEvent) -> tuple[InferenceEvent, InferenceEvent] | None:
        """Return the request and the response of an event; None if the other half is not there yet.

        The same event sent again takes the place of the first.
        """
        other: Part = "response" if event.part == "request" else "request"
        now = self._clock()
        with self._lock:
            found = self._take((event.service, event.id, other))
            if found is not None:
                return (event, found) if event.part == "request" else (found, event)
            key = (event.service, event.id, event.part)
            self._take(key)
            self._waiting[key] = now, event
            self._bytes += len(event.data)
            while self._waiting and self._is_too_much(now):
                self._take(next(iter(self._waiting)))
                self.expired += 1
        return None

    def _take(self, key: tuple[str, str, Part]) -> InferenceEvent | None:
        found = self._waiting.pop(key, None)
        if found is None:
            return None
        self._bytes -= len(found[1].data)
        return found[1]

    def _is_too_much(self, now: float) -> bool:
        oldest, _ = next(iter(self._waiting.values()))
        return (
            self._bytes > self._limits.bytes
            or len(self._waiting) > self._limits.events
            or now - oldest > self._limits.seconds
        )
