"""What the routes of a server share."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from mlops_assets.principals import Principal
from mlops_assets.serving.bodies import Bodies
from mlops_assets.serving.inference import Inference, unknown
from mlops_assets.serving.metrics import ServerMetrics
from mlops_assets.serving.sessions.interface import ModelStatus, Repository
from mlops_assets.serving.visible_versions import VisibleVersions
from mlops_assets.serving.workers import Workers
from mlops_assets.store import Store


@dataclass(frozen=True)
class ServerState:
    """The parts of a server.

    Attributes:
        store: workspace and registry.
        repository: models that are served.
        inference: answers requests.
        visible: who may see which model versions.
        bodies: reads bodies within limits.
        workers: threads that answer.
        metrics: what is counted.
    """

    store: Store
    repository: Repository
    inference: Inference
    visible: VisibleVersions
    bodies: Bodies
    workers: Workers
    metrics: ServerMetrics

    def states(self, principal: Principal, model: str) -> list[ModelStatus]:
        """Return the states of a model that a caller may see.

        Args:
            principal: who asks.
            model: name of the model.

        Raises:
            NotFound: it is not served, or the caller may not see it.
            StorageError: the registry cannot be read.
        """
        if model not in self.repository.names():
            raise unknown(model, None)
        seen = [
            state
            for state in self.repository.status(model)
            if self.visible.sees(principal, model, state.version)
        ]
        if not seen:
            raise unknown(model, None)
        return seen


def state_of(request: Request) -> ServerState:
    """Return the parts of the server that a request has reached."""
    state: ServerState = request.app.state.server
    return state
