"""Dagster's web server, asked by GraphQL: is the project loaded, what is on, what runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import httpx
from pydantic import BaseModel

from mlops_assets.errors import SpecificationError

TIMEOUT_SECONDS = 15.0
MAX_RUNS = 100
ASSET_JOB = "__ASSET_JOB"
MAX_ASSETS = 3
# a run of a backfill has a range, of one data version
PARTITION_TAGS = frozenset({"dagster/partition", "dagster/asset_partition_range_start"})
_LOCATIONS = """
query Locations { answer: workspaceOrError { ... on Workspace { entries: locationEntries {
  status: loadStatus
  location: locationOrLoadError {
    ... on PythonError { message causes { message } }
    ... on RepositoryLocation { repositories {
      sensors { name state: sensorState { status } }
      schedules { name state: scheduleState { status } }
    } }
  }
} } } }
"""
_RUNS = """
query Runs($filter: RunsFilter!, $limit: Int!) {
  answer: runsOrError(filter: $filter, limit: $limit) { ... on Runs { runs: results {
    id job: jobName status ours: canTerminate tags { key value } assets: assetSelection { path }
  } } }
}
"""
_TERMINATE = """
mutation Terminate($runs: [String!]!) {
  answer: terminateRuns(runIds: $runs, terminatePolicy: SAFE_TERMINATE) { type: __typename }
}
"""


class _State(BaseModel):
    status: str


class _Automation(BaseModel):
    name: str
    state: _State


class _Repository(BaseModel):
    sensors: list[_Automation]
    schedules: list[_Automation]


class _Cause(BaseModel):
    message: str


class _Location(BaseModel):
    message: str | None = None
    causes: list[_Cause] = []
    repositories: list[_Repository] = []


class _Entry(BaseModel):
    status: str
    location: _Location | None


class _Workspace(BaseModel):
    entries: list[_Entry]


class _Tag(BaseModel):
    key: str
    value: str


class _Asset(BaseModel):
    path: list[str]


class Run(BaseModel):
    """A run of Dagster.

    Attributes:
        id: its id.
        job: name of the job.
        status: in Dagster's words, such as STARTED.
        ours: a process of these services executes it, so they can end it.
        tags: all but hidden ones.
        assets: those that were selected, if not the whole job.
    """

    id: str
    job: str
    status: str
    ours: bool
    tags: list[_Tag]
    assets: list[_Asset] | None

    @property
    def subject(self) -> str:
        """The job, or the assets where they were selected, and the partition if there is one."""
        partition = next((f"[{tag.value}]" for tag in self.tags if tag.key in PARTITION_TAGS), "")
        return f"{self._selected}{partition}"

    @property
    def _selected(self) -> str:
        if self.job != ASSET_JOB or not self.assets:
            return self.job
        names = ["/".join(asset.path) for asset in self.assets]
        more = f" and {len(names) - MAX_ASSETS} more" if len(names) > MAX_ASSETS else ""
        return f"{', '.join(names[:MAX_ASSETS])}{more}"


class _Runs(BaseModel):
    runs: list[Run]


class _Termination(BaseModel):
    type: str


Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True)
class Automations:
    """The names of the sensors and schedules of a project that are on, and of those that are off.

    Attributes:
        on: evaluated by the daemon.
        off: not evaluated.
    """

    on: list[str]
    off: list[str]


class WebServer:
    """The web server at a URL of this machine.

    Its methods raise `httpx.HTTPError` where it does not answer.

    Args:
        url: address of the server.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        # this machine needs no proxy
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=TIMEOUT_SECONDS)

    def automations(self) -> Automations | None:
        """Return the sensors and schedules of the project; None while it is being loaded.

        Raises:
            SpecificationError: Dagster cannot load the project.
        """
        found: list[_Automation] = []
        for entry in self._ask(_LOCATIONS, _Workspace).entries:
            if entry.status != "LOADED" or entry.location is None:
                return None
            if entry.location.message is not None:
                # the others only wrap the last one
                messages = [entry.location.message, *(c.message for c in entry.location.causes)]
                raise SpecificationError(f"Dagster cannot load the project: {messages[-1].strip()}")
            for repository in entry.location.repositories:
                found += [*repository.sensors, *repository.schedules]
        on = [each.name for each in found if each.state.status == "RUNNING"]
        return Automations(sorted(on), sorted({each.name for each in found}.difference(on)))

    def runs(self, *statuses: str) -> list[Run]:
        """Return the newest runs that have one of some statuses."""
        return self._runs({"statuses": statuses})

    def runs_since(self, time: float) -> list[Run]:
        """Return the runs whose status has changed since a time (seconds since the epoch)."""
        return self._runs({"updatedAfter": time})

    def cancel(self, runs: Sequence[Run]) -> None:
        """Ask runs to end; each is canceled once its process has ended."""
        self._ask(_TERMINATE, _Termination, runs=[run.id for run in runs])

    def _runs(self, selection: dict[str, object]) -> list[Run]:
        return self._ask(_RUNS, _Runs, filter=selection, limit=MAX_RUNS).runs

    def _ask(self, query: str, answer: type[Answer], **variables: object) -> Answer:
        response = self._client.post("/graphql", json={"query": query, "variables": variables})
        return answer.model_validate(response.raise_for_status().json()["data"]["answer"])
