"""Places of files for tests of landings: a folder, object stores, a folder on a web server.

`place` is each remote one in turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlops_assets.datasets.sources import Landing, open_landing
from mlops_assets.datasets.sources.folder import FolderLanding
from mlops_assets.datasets.specification.source import Source
from mlops_assets.storage import Workspace
from mlops_assets_tests.datasets.readers.landing import await_tick
from mlops_assets_tests.servers.buckets import Bucket
from mlops_assets_tests.servers.web import WebFolder

LANDING = "landing/fields"


@dataclass
class Place:
    """A remote landing that a test writes to, and the source that declares it.

    Attributes:
        server: what is behind it.
        url: as the declaration has it.
    """

    server: Bucket | WebFolder
    url: str
    named: list[str] = field(default_factory=list)

    def put(self, path: str, content: bytes | Path) -> None:
        """Land a file, or put another in its place."""
        content = content if isinstance(content, bytes) else content.read_bytes()
        if isinstance(self.server, Bucket):
            self.server.put(f"{LANDING}/{path}", content)
        else:
            file = self.server.folder / LANDING / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.exists():
                await_tick(file)  # the web server distinguishes files of one size by their times
            file.write_bytes(content)
        self.named = [*dict.fromkeys([*self.named, path])]

    def land(self, folder: Path) -> None:
        """Land all files of a local folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(path.relative_to(folder).as_posix(), path)

    def delete(self, path: str) -> None:
        """Remove a file; a web landing still names it."""
        if isinstance(self.server, Bucket):
            self.server.delete(f"{LANDING}/{path}")
        else:
            (self.server.folder / LANDING / path).unlink()

    def source(self, **options: object) -> dict[str, object]:
        """The declaration of this landing; a table unless `options` differ.

        A web landing's files are named.
        """
        files = {"files": self.named} if isinstance(self.server, WebFolder) else {}
        return {
            "url": self.url,
            **(options or {"layout": "table", "table": {"label": "crop"}}),
            **files,
        }

    def open(self) -> Landing:
        """Return the landing as the platform sees it."""
        # its URL is absolute, so that it is in no workspace
        workspace = Workspace(Path("workspace").absolute().as_uri())
        return open_landing(workspace, Source.model_validate(self.source()))


@dataclass
class FolderPlace:
    """A local landing that a test writes to."""

    folder: Path

    @property
    def url(self) -> str:
        """The path that errors name."""
        return str(self.folder)

    def put(self, path: str, content: bytes) -> None:
        """Land a file, or put another in its place once the clock has moved on."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            await_tick(file)
        file.write_bytes(content)

    def delete(self, path: str) -> None:
        """Remove a file."""
        (self.folder / path).unlink()

    def open(self) -> Landing:
        """Return the landing as the platform sees it."""
        return FolderLanding(self.folder)


def place_on(server: Bucket | WebFolder) -> Place:
    """A landing on a server."""
    return Place(server, f"{server.url}/{LANDING}")


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.services)
        for name in ("s3", "az", "gs", "https_folder")
    ]
)
def place(request: pytest.FixtureRequest) -> Place:
    """An empty remote landing of each kind in turn."""
    return place_on(request.getfixturevalue(request.param))
