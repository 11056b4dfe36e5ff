"""`POST /v2/models/MODEL[/versions/VERSION]/predict-image`: a GeoTIFF or a URL in, a map out.

The map is made as `mlops predict` makes it, by the version that is served at that moment. Nothing
is published, and nothing is left.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from mlops_assets.errors import (
    BrokenScene,
    DiskFull,
    MlopsError,
    NoScenes,
    RequestRefused,
    SpecificationError,
    StorageError,
    StorageUnreachable,
)
from mlops_assets.principals import Principal
from mlops_assets.serving.authentication import Right, require
from mlops_assets.serving.bodies import check_announced, too_large
from mlops_assets.serving.errors import status_of
from mlops_assets.serving.metrics import Outcome
from mlops_assets.serving.routes.state import ServerState, state_of
from mlops_assets.serving.sessions.interface import ServedVersion
from mlops_assets.serving.workers import Workers
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.strict import Strict, listed_problems

MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
# classic and BigTIFF, of both byte orders
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MAX_DOCUMENT = 64 << 10  # bytes of a body that names an Item
MAX_URL = 2048
_CHUNK = 1 << 20
_ADVICE = "send a part of the image, or map it with 'mlops predict'"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageLimits:
    """Limits of images.

    Attributes:
        file_bytes: of an image, or of each file of an Item.
        pixels: of an image.
        at_once: images that are mapped at the same time, beside other requests.
        waiting: images that are received or wait, at most.
    """

    file_bytes: int = 256 << 20
    pixels: int = 4096 * 4096
    at_once: int = 1
    waiting: int = 3


class NamedImage(Strict):
    """A body that names an image."""

    item: str = Field(max_length=MAX_URL, description="URL of a STAC Item or a GeoTIFF.")
    bands_by_position: bool = Field(
        default=False, description="Take bands in file order where they cannot be identified."
    )


def image_routes(limits: ImageLimits = ImageLimits()) -> list[BaseRoute]:
    """Return the routes of images, for `ServerSettings.extra_routes`.

    Args:
        limits: of images.
    """
    images = _Images(limits)
    of_model = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
    return [Route(f"{path}/predict-image", images.predict, methods=["POST"]) for path in of_model]


@dataclass(frozen=True)
class _Asked:
    """A request for a map.

    Attributes:
        model: name of the model.
        version: of the model, or an alias; the default if None.
        url: of the Item or GeoTIFF; None for a file that was sent.
        by_position: take bands in file order where they cannot be identified.
        principal: who asks.
        state: parts of the server.
    """

    model: str
    version: str | None
    url: str | None
    by_position: bool
    principal: Principal
    state: ServerState


@dataclass(frozen=True)
class _Made:
    """A map that was made, whose file has no name any more.

    Attributes:
        stream: of its bytes.
        served: the model version.
        notes: remarks for people.
    """

    stream: BinaryIO
    served: ServedVersion
    notes: Sequence[str]


class _Images:
    """The images of a server."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._workers = Workers(limits.at_once, limits.waiting)
        self._taken = 0

    async def predict(self, request: Request) -> Response:
        """Respond to a request for a map."""
        state = state_of(request)
        principal = require(request, Right.INFER)
        model: str = request.path_params["model"]
        clock = time.perf_counter()
        version, status = "", 500
        try:
            made = await self._made(request, principal)
            version, status = made.served.version, 200
        except MlopsError as error:
            status = status_of(error)
            raise
        finally:
            seconds = time.perf_counter() - clock
            state.metrics.count(Outcome(model, version, principal.name, status, seconds))
        headers = {
            "content-length": str(os.fstat(made.stream.fileno()).st_size),
            "content-disposition": f'attachment; filename="{model}-{version}.tif"',
            "mlops-model-version": version,
        }
        if made.notes:
            headers["mlops-notes"] = "; ".join(made.notes).encode("ascii", "replace").decode()
        return StreamingResponse(_chunks(made.stream), 200, headers, MEDIA_TYPE)

    async def _made(self, request: Request, principal: Principal) -> _Made:
        # bodies count from their first byte, as each takes room on the disk
        if self._taken >= self._limits.at_once + self._limits.waiting:
            raise RequestRefused(
                f"{self._taken} images are mapped or wait already; try again later", 503
            )
        self._taken += 1
        try:
            with scratch_folder("image") as folder:
                asked = await self._asked(request, principal, folder)
                return await self._workers.run(self._map, asked, folder)
        finally:
            self._taken -= 1

    async def _asked(self, request: Request, principal: Principal, folder: Path) -> _Asked:
        """Receive the body of a request: a GeoTIFF, or JSON that names one.

        Raises:
            RequestRefused: it is neither, or too large.
        """
        names = request.path_params
        is_named = request.headers.get("content-type", "").partition(";")[0].strip().lower() in (
            "application/json",
            "application/geo+json",
        )
        limit = MAX_DOCUMENT if is_named else self._limits.file_bytes
        path = folder / "image.tif"
        await _receive(request, path, limit)
        by_position = request.query_params.get("bands_by_position", "false").lower() == "true"
        url: str | None = None
        if is_named:
            named = _parsed(await run_in_threadpool(path.read_bytes))
            url, by_position = named.item, named.bands_by_position or by_position
        else:
            with path.open("rb") as stream:
                if stream.read(4) not in MAGIC:
                    raise RequestRefused(
                        "the body is not a GeoTIFF; send one, or JSON that names a STAC Item:"
                        ' {"item": "https://…"}',
                        415,
                    )
        state = state_of(request)
        return _Asked(names["model"], names.get("version"), url, by_position, principal, state)

    def _map(self, asked: _Asked, folder: Path) -> _Made:
        """Map an image, in a thread.

        Raises:
            NotFound: no such model is served, or the caller may not see it.
            ModelUnavailable: it is not loaded.
            RequestRefused: the image cannot be read or mapped.
        """
        inference = asked.state.inference
        served = inference.session(asked.principal, asked.model, asked.version).served
        try:
            path, notes = self._mapped(served, asked, folder)
        except (BrokenScene, NoScenes, SpecificationError) as error:
            raise _refused(error, folder) from error
        return _Made(path.open("rb"), served, notes)

    def _mapped(
        self, served: ServedVersion, asked: _Asked, folder: Path
    ) -> tuple[Path, Sequence[str]]:
        # rasterio takes half a second, which a server without images need not spend
        from mlops_assets.prediction.image import Image, find_image, map_image
        from mlops_assets.prediction.scenes.found import FoundScene
        from mlops_assets.prediction.scenes.sources.files import CallerLimits

        limits = CallerLimits(self._limits.file_bytes, self._limits.pixels)
        scene = FoundScene("image", (folder / "image.tif").as_uri())
        if asked.url is not None:
            try:
                scene = find_image(asked.state.store, asked.url, limits)
            except (StorageUnreachable, DiskFull):
                raise
            except StorageError as error:
                raise BrokenScene(f"{asked.url}: {error}") from error
        image = Image(scene, limits, asked.by_position)
        made = folder / "made"
        made.mkdir()
        return map_image(asked.state.store, served.row, served.sha256, image, made)


async def _receive(request: Request, path: Path, limit: int) -> None:
    """Write the body of a request to a file.

    Raises:
        RequestRefused: it is compressed, too large, or interrupted.
    """
    check_announced(dict(request.headers.raw), limit, _ADVICE)
    size = 0
    kept = bytearray()
    try:
        with path.open("wb") as stream:
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise too_large(limit, _ADVICE)
                kept += chunk
                if len(kept) >= _CHUNK:
                    await run_in_threadpool(stream.write, bytes(kept))
                    kept.clear()
            stream.write(kept)
    except ClientDisconnect as error:
        raise RequestRefused("the body was interrupted") from error
    except OSError as error:
        raise DiskFull(
            f"{path} could not be written: {error.strerror}; free space there"
        ) from error


def _parsed(content: bytes) -> NamedImage:
    """Return what a body names.

    Raises:
        RequestRefused: it is not valid, or the URL is not one of a web server.
    """
    try:
        named = NamedImage.model_validate_json(content)
    except ValidationError as error:
        raise RequestRefused(listed_problems(error, "the body", 5)) from error
    try:
        parts = urlsplit(named.item)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc:
        raise RequestRefused(
            "item: write the http or https URL of a STAC Item or a GeoTIFF, without a user"
        )
    return named


def _refused(error: MlopsError, folder: Path) -> RequestRefused:
    """Return the refusal of an image; addresses and errors of other hosts are for the log only."""
    if isinstance(error.__cause__, StorageError):
        log.warning("an image could not be read: %s", error)
        return RequestRefused(
            "a file of the image cannot be read from here: its host must be public or trusted by"
            " this server, and the file be there and not too large",
            422,
        )
    return RequestRefused(str(error).replace(f"{folder}/", ""), 422)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while chunk := stream.read(_CHUNK):
            yield chunk
