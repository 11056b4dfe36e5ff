"""A server that follows the documents of EOEPCA's Resource Registration 2.0, on loopback.

It writes to a real STAC API, and holds an OGC API - Records itself. The real service was not at
hand: what is here was written after its API, process descriptions and error answers.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
from jsonschema import Draft7Validator, Draft202012Validator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mlops_assets.errors import Unauthenticated
from mlops_assets.identity.issuer import Issuer

STAC = "https://api.stacspec.org/v1.0.0/core"
RECORDS = "http://www.opengis.net/spec/ogcapi-records-1/1.0"
_TEXT = {"type": "string", "minLength": 1}
_RELATION = {"enum": ["collection", "item"]}
_TARGET = {
    "type": "object",
    "required": ["rel", "href"],
    "properties": {"rel": {"enum": [STAC, RECORDS]}, "href": _TEXT, "collection": _TEXT},
    "additionalProperties": False,
}
_SOURCE = {
    "type": "object",
    "required": ["rel"],
    "properties": {"rel": _RELATION, "href": _TEXT, "content": {"type": "object"}},
    "oneOf": [{"required": ["href"]}, {"required": ["content"]}],
    "additionalProperties": False,
}
INPUTS = {
    "register": {
        "type": "object",
        "required": ["source", "target"],
        "properties": {"source": _SOURCE, "target": _TARGET},
        "additionalProperties": False,
    },
    "deregister": {
        "type": "object",
        "required": ["id", "rel", "target"],
        "properties": {"id": _TEXT, "rel": _RELATION, "collection": _TEXT, "target": _TARGET},
        "additionalProperties": False,
    },
}


class Refused(Exception):
    """An execution that fails, with the description that its caller reads."""


@dataclass
class EoepcaServer:
    """Resource Registration with an OGC API - Records.

    Attributes:
        issuer: whose tokens are accepted; they must be for this audience.
        stac_headers: credentials of this service at the STAC API.
        validators: of STAC extensions, by the URI that records list; no other can be read.
        looks: how often a job is seen running; None executes at once.
        answers: to the next executions, instead of what they would be.
        down: relations of targets that cannot be reached.
        executed: process and relation of the target, of all that succeeded, in their order.
        results: of all that succeeded.
        kept: how the OGC API - Records keeps a document.
        records: Collections of the OGC API - Records, with their own document under "".
    """

    issuer: Issuer
    stac_headers: Mapping[str, str]
    validators: Callable[[str], Draft7Validator | None]
    looks: int | None = None
    answers: list[Response] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    executed: list[tuple[str, str]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    kept: Callable[[dict[str, Any]], dict[str, Any]] = dict
    records: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with no jobs."""
        self._jobs: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)

    def app(self) -> Starlette:
        """Return the app that serves it, with the records below `/records`."""
        collection = "/records/collections/{collection}"
        return Starlette(
            routes=[
                Route("/processes/{process}/execution", self._execution, methods=["POST"]),
                Route("/jobs/{job}", self._job),
                Route("/jobs/{job}/results", self._job_results),
                Route(collection, self._get_record),
                Route(f"{collection}/items", self._get_records),
                Route(f"{collection}/items/{{item}}", self._get_record),
            ]
        )

    async def _execution(self, request: Request) -> Response:
        if self.answers:
            return self.answers.pop(0)
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            if kind != "Bearer":
                raise Unauthenticated("there is no bearer token")
            await self.issuer.principal(token)
        except Unauthenticated as error:
            return _exception(401, str(error))
        process = request.path_params["process"]
        if process not in INPUTS:
            return _exception(404, "no such process")
        try:
            result = await self._execute(process, json.loads(await request.body())["inputs"])
            state: dict[str, Any] = {"status": "successful", "result": result}
        except (Refused, ValueError, LookupError, TypeError) as error:
            result = None
            state = {"status": "failed", "reason": f"Error executing process: {error}"}
        if self.looks is not None and request.headers.get("Prefer") == "respond-async":
            job = f"job-{next(self._numbers)}"
            self._jobs[job] = {**state, "looks": self.looks}
            # as a service behind a gateway knows itself
            location = f"http://registration.invalid:8080/jobs/{job}"
            return JSONResponse(None, 201, {"Location": location})
        return _exception(400, state["reason"]) if result is None else JSONResponse(result)

    async def _execute(self, process: str, inputs: Any) -> dict[str, Any]:
        invalid = list(Draft202012Validator(INPUTS[process]).iter_errors(inputs))
        if invalid:
            raise Refused([f"{error.json_path}: {error.message}" for error in invalid])
        relation = inputs["target"]["rel"]
        if relation in self.down:
            raise Refused("HTTPConnectionPool: Max retries exceeded")
        async with httpx.AsyncClient(headers=self.stac_headers) as client:
            own = self._register if process == "register" else self._deregister
            result = await own(client, inputs)
        self.executed.append((process, relation))
        self.results.append(result)
        return result

    async def _register(self, client: httpx.AsyncClient, inputs: Any) -> dict[str, Any]:
        source, target = inputs["source"], inputs["target"]
        content = source.get("content")
        if content is None:
            content = json.loads((await client.get(source["href"], headers={})).content)
        for uri in content.get("stac_extensions", []):
            validator = self.validators(uri)
            if validator is None:
                raise Refused(f"404 Client Error: Not Found for url: {uri}")
            # whatever the schema says of itself, the service takes it for one of this draft
            validator = Draft202012Validator(validator.schema, registry=validator._registry)
            errors = list(validator.iter_errors(content))
            if errors:
                raise Refused([f"{error.json_path}: {error.message}" for error in errors])
        name = content["id"]
        is_item = source["rel"] == "item"
        collection = (target.get("collection") or content.get("collection")) if is_item else name
        if target["rel"] == RECORDS:
            self._keep(content, name, target.get("collection", "metadata:main"), is_item)
            collection = target.get("collection", "metadata:main") if is_item else name
        elif collection is None:
            raise Refused("Collection identifier required")
        else:
            await _forward(client, target["href"], collection, name if is_item else None, content)
        url = f"{target['href']}/collections/{collection}"
        link = {
            "href": f"{url}/items/{name}" if is_item else url,
            "rel": "item",
            "type": "application/geo+json" if is_item else "application/json",
        }
        return {"id": "registrar", "resource-and-data-catalogue-link": link}

    def _keep(self, content: Any, name: str, collection: str, is_item: bool) -> None:
        if not is_item:
            self.records.setdefault(name, {})[""] = self.kept(content)
        elif collection in self.records:
            self.records[collection][name] = self.kept(content)
        else:
            raise Refused("Collection not found")

    async def _deregister(self, client: httpx.AsyncClient, inputs: Any) -> dict[str, Any]:
        target, name = inputs["target"], inputs["id"]
        is_item = inputs["rel"] == "item"
        collection = inputs.get("collection") if is_item else name
        if target["rel"] == RECORDS:
            collection = collection or "metadata:main"
            held = self.records.get(collection, {})
            if (name if is_item else "") not in held:
                raise Refused("identifier not found")
            if is_item:
                del held[name]
            elif held.keys() != {""}:
                raise Refused("the collection has items")
            else:
                del self.records[collection]
            return {"id": name}
        if collection is None:
            raise Refused("Collection identifier required")
        url = _url(target["href"], collection, name if is_item else None)
        answer = await client.delete(url)
        if answer.is_error:
            raise Refused(answer.text)
        return {"id": name}

    async def _job(self, request: Request) -> Response:
        name = request.path_params["job"]
        job = self._jobs.get(name)
        if job is None:
            return _exception(404, "no such job")
        document = {"jobID": name, "processID": "register", "type": "process"}
        if job["looks"] > 0:
            job["looks"] -= 1
            return JSONResponse({**document, "status": "running", "progress": 5})
        message = f"InvalidParameterValue: {job['reason']}" if "reason" in job else "Job complete"
        return JSONResponse({**document, "status": job["status"], "message": message})

    async def _job_results(self, request: Request) -> Response:
        job = self._jobs[request.path_params["job"]]
        if "result" not in job:
            return _exception(400, job["reason"])
        return JSONResponse(job["result"])

    async def _get_record(self, request: Request) -> Response:
        name = request.path_params.get("item", "")
        found = self.records.get(request.path_params["collection"], {}).get(name)
        return _exception(404, "identifier not found") if found is None else JSONResponse(found)

    async def _get_records(self, request: Request) -> Response:
        held = self.records.get(request.path_params["collection"])
        if held is None:
            return _exception(404, "Collection not found")
        limit = int(request.query_params.get("limit", "10"))
        ids = request.query_params.get("ids")
        wanted = held.keys() if ids is None else ids.split(",")
        found = [document for name, document in held.items() if name and name in wanted][:limit]
        return JSONResponse({"type": "FeatureCollection", "features": found})


async def _forward(
    client: httpx.AsyncClient, api: str, collection: str, item: str | None, content: Any
) -> None:
    """Create or replace a record of a STAC API."""
    if item is not None and (await client.get(_url(api, collection))).is_error:
        raise Refused("Collection not found")
    url = _url(api, collection, item)
    if (await client.get(url)).is_success:
        answer = await client.put(url, json=content)
    else:
        answer = await client.post(url.rpartition("/")[0], json=content)
    if answer.is_error:
        raise Refused(answer.text)


def _url(api: str, collection: str, item: str | None = None) -> str:
    url = f"{api}/collections/{quote(collection, safe='')}"
    return url if item is None else f"{url}/items/{quote(item, safe='')}"


def _exception(status: int, description: str) -> Response:
    code = "InvalidParameterValue" if status == 400 else "NoApplicableCode"
    document = {"type": code, "code": code, "description": description}
    return JSONResponse(document, status)
