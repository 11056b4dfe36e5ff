"""Requests that KServe has answered, as exchanges of the request log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import NotFound, RequestRefused
from mlops_assets.names import Reference, kubernetes_name
from mlops_assets.registry import Deployment
from mlops_assets.registry.promotion.deployments import DEPLOYED
from mlops_assets.serving.protocol.request import HEADER_LENGTH, read_document, read_request
from mlops_assets.serving.protocol.tensors import check_datatype, check_shape, from_json
from mlops_assets.serving.request_log.client import served_version
from mlops_assets.serving.request_log.kserve.cloud_events import InferenceEvent
from mlops_assets.serving.sessions.interface import Exchange, ServedVersion
from mlops_assets.store import Store

KEPT_SECONDS = 10.0
MAX_SERVED = 1_000  # model versions and checksums, which events may state
# that KServe's logger takes to send an event
_CLOCKS = 5.0


@dataclass(frozen=True)
class _Deployed:
    model: str
    version: str
    sha256: str


class KServeExchanges:
    """Pairs of events as exchanges, with the model version that the service had."""

    def __init__(self) -> None:
        self._deployments: tuple[float, list[Deployment]] = (-KEPT_SECONDS, [])
        self._served: dict[tuple[str, str, str], ServedVersion] = {}

    def exchange(self, store: Store, request: InferenceEvent, response: InferenceEvent) -> Exchange:
        """Return the exchange of a request and its response.

        Args:
            store: workspace and registry; its principal has sent the events.
            request: event of the request.
            response: event of the response.

        Raises:
            NotFound: no model version is known to be served by this service.
            RequestRefused: a body is not one of the Open Inference Protocol, or does not suit the
                model.
        """
        document = read_document(response.data)
        served = self._served_by(store, self._deployed(store, request))
        header_length = request.metadata.get(HEADER_LENGTH)
        try:
            inputs = read_request(
                request.data, header_length, served.inputs, served.outputs, finite=False
            ).inputs
        except RequestRefused as error:
            if header_length is None and not request.data.rstrip().endswith(b"}"):
                raise RequestRefused(
                    f"{error}; for binary tensors, add Inference-Header-Content-Length to"
                    " 'metadataHeaders' of the InferenceService's logger"
                ) from error
            raise
        samples = len(next(iter(inputs.values())))
        return Exchange(
            id=request.id,
            served=served,
            caller=store.user,
            started=request.time,
            seconds=max(0.0, response.time - request.time),
            inputs=inputs,
            outputs=_outputs(document, served, samples),
        )

    def _deployed(self, store: Store, event: InferenceEvent) -> _Deployed:
        """Return the model version that a service had when a request arrived.

        Its annotations state it, if KServe logs them; else the newest deployment counts.
        """
        annotated = event.annotations
        if "mlops.model" in annotated and "mlops.model_version" in annotated:
            return _Deployed(
                annotated["mlops.model"],
                annotated["mlops.model_version"],
                annotated.get("mlops.onnx_sha256", ""),
            )
        moment = datetime.fromtimestamp(event.time + _CLOCKS, UTC)
        for row in self._recent(store):
            if kubernetes_name(row.service) == event.service and row.deployed <= moment:
                if row.action == DEPLOYED:
                    return _Deployed(row.model, row.version, row.sha256)
                break
        raise NotFound(f"no deployed service is named {event.service!r}; see 'mlops service list'")

    def _recent(self, store: Store) -> list[Deployment]:
        since, rows = self._deployments
        if time.monotonic() - since >= KEPT_SECONDS:
            # whoever may not see the version is refused below
            rows = store.registry.unrestricted().deployments()
            self._deployments = time.monotonic(), rows
        return rows

    def _served_by(self, store: Store, deployed: _Deployed) -> ServedVersion:
        row = store.registry.model_version(Reference(deployed.model, deployed.version))
        key = (row.model, row.version, deployed.sha256)
        if key not in self._served:
            if len(self._served) >= MAX_SERVED:
                self._served.clear()
            self._served[key] = served_version(row, deployed.sha256)
        return self._served[key]


def _outputs(
    document: dict[str, object], served: ServedVersion, samples: int
) -> dict[str, NDArray[np.generic]]:
    """Return the outputs of a response that are logged.

    Raises:
        RequestRefused: there are none, or they do not suit the model.
    """
    known = {spec.name: spec for spec in served.outputs}
    listed = document.get("outputs")
    found: dict[str, NDArray[np.generic]] = {}
    for entry in listed if isinstance(listed, list) else []:
        name = entry.get("name") if isinstance(entry, dict) else None
        spec = known.get(name) if isinstance(name, str) else None
        if spec is None:
            continue
        shape = check_shape(spec, entry.get("shape"))
        if shape[0] != samples:
            raise RequestRefused(
                f"output {spec.name!r} has {shape[0]} samples, and its request {samples}"
            )
        found[spec.name] = from_json(
            spec, shape, check_datatype(spec, entry.get("datatype")), entry.get("data")
        )
    _require_classes(found.get("label"), served)
    if not found:
        raise RequestRefused(
            f"the response has none of the outputs {', '.join(known)} as JSON; serve the model by"
            " the Open Inference Protocol, version 2"
        )
    return found


def _require_classes(labels: NDArray[np.generic] | None, served: ServedVersion) -> None:
    """Refuse class indices that the model does not have: no day with them could be monitored."""
    classes = len(served.signature.classes or ())
    if labels is not None and not np.isin(labels, np.arange(classes)).all():
        raise RequestRefused(
            f"output 'label' has class indices that the model does not have: it has {classes}, and"
            " the first is 0"
        )
