"""A folder on a web server, and a STAC API, as fixtures.

Both are plain http, which loopback needs no more than.

The web server answers with ETag and Last-Modified, and serves ranges.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pystac
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from mlops_assets_tests.servers.faults import FaultyProxy
from mlops_assets_tests.servers.processes import HOST, serving
from mlops_assets_tests.services import require_script

_numbers = itertools.count()


@dataclass(frozen=True)
class WebFolder:
    """A local folder, the URL it is served at, and the faults to plant on the way to it."""

    url: str
    folder: Path
    faults: FaultyProxy


def application() -> Starlette:
    """Serve the folder named in the environment; run by uvicorn in a process of its own."""
    return Starlette(routes=[Mount("/", StaticFiles(directory=os.environ["SERVED_FOLDER"]))])


@pytest.fixture(scope="session")
def web_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a web server, and the folder it serves."""
    folder = tmp_path_factory.mktemp("web")
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        f"{__name__}:application",
        "--host",
        HOST,
        "--port",
    ]
    environment = {
        **os.environ,
        "SERVED_FOLDER": str(folder),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    with serving(
        lambda port: [*command, str(port)], folder.with_suffix(".log"), environment
    ) as port:
        yield f"http://{HOST}:{port}", folder


@pytest.fixture
def https_folder(web_server: tuple[str, Path], prompt_retries: None) -> Iterator[WebFolder]:
    """A new folder on the web server."""
    url, served = web_server
    folder = served / str(next(_numbers))
    folder.mkdir()
    with FaultyProxy(url) as faults:
        yield WebFolder(f"{faults.url}/{folder.name}", folder, faults)


@pytest.fixture
def stac_api(tmp_path: Path) -> Iterator[Callable[[Sequence[pystac.Item]], str]]:
    """Start a STAC API with item search (`rustac serve`) that has these Items, and return its URL.

    `stac_api(items)`.

    Every Item needs the id of a collection. A search by GET with `collections=` is refused by
    rustac 0.9.18; POST, pystac-client's default, is paged and filtered.
    """
    rustac = str(require_script("rustac"))
    with ExitStack() as running:

        def start(items: Sequence[pystac.Item]) -> str:
            file = tmp_path / f"items-{next(_numbers)}.json"
            pystac.ItemCollection(items, clone_items=True).save_object(str(file))
            command = [rustac, "serve", "--create-collections", str(file), "--addr"]
            port = running.enter_context(
                serving(lambda port: [*command, f"{HOST}:{port}"], file.with_suffix(".log"))
            )
            return f"http://{HOST}:{port}"

        yield start
