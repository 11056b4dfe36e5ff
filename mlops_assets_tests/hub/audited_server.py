"""The hub as a process that notes its actions.

`python -m mlops_assets_tests.hub.audited_server PORT NOTES`.

From the first request that asks for it on, every file that is opened, module that is imported, code
that is executed, process that is started and connection that is made is noted, but for what the hub
has to do: see `_expected`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import uvicorn

from mlops_assets.hub.app import HubSettings, create_app
from mlops_assets.hub.external.publisher import publish_sent
from mlops_assets.serving.http_server import Limits, configuration
from mlops_assets.settings import Settings
from mlops_assets.store import open_store
from mlops_assets_tests.hub.serving import TOKEN
from mlops_assets_tests.interpreter import ROOT
from mlops_assets_tests.servers.processes import HOST

ACTS = (
    "ctypes.dlopen",
    "exec",
    "import",
    "open",
    "os.chmod",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.kill",
    "os.link",
    "os.posix_spawn",
    "os.putenv",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.spawn",
    "os.symlink",
    "os.system",
    "pickle.find_class",
    "shutil.rmtree",
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendto",
    "sqlite3.connect",
    "sqlite3.enable_load_extension",
    "subprocess.Popen",
    "webbrowser.open",
)
# requests may be incomplete
LIMITS = Limits(header_seconds=0.3, keep_alive_seconds=1, progress_seconds=0.3)
START_NOTES, END_NOTES = "/start-of-notes", "/end-of-notes"  # no paths of the hub
OPENED = "/etc/passwd"  # in the end, so that the test sees that this would be noted


def main(port: int, notes: Path) -> None:
    """Serve until SIGTERM, and write the notes."""
    store = open_store(Settings.from_environment())
    own = (store.workspace.root, Path(tempfile.gettempdir()))
    installed = (
        ROOT,
        *map(Path, {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sys.base_prefix}),
    )
    noted: set[tuple[str, str]] = set()
    noting = False

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if noting and event in ACTS and not _expected(event, arguments, own, installed):
            noted.add((event, repr(arguments)[:300]))

    sys.addaudithook(note)
    app = create_app(store, HubSettings(store.workspace.root / "dagster", TOKEN), publish_sent)

    async def noted_app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal noting
        noting = noting or scope.get("path") == START_NOTES
        if scope.get("path") == END_NOTES:
            Path(OPENED).read_bytes()
        await app(scope, receive, send)

    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again in the end
    uvicorn.Server(configuration(noted_app, HOST, port, LIMITS)).run()
    noting = False
    notes.write_text(json.dumps(sorted(noted)))


def _expected(
    event: str, arguments: tuple[Any, ...], own: tuple[Path, ...], installed: tuple[Path, ...]
) -> bool:
    """Return whether the hub has to do this.

    Keep files in its workspace, read what is installed, import that, ask SQLite.
    """
    if event == "import":
        return str(arguments[0]).partition(".")[0] in {
            name.partition(".")[0] for name in tuple(sys.modules)
        }
    if event == "exec":
        return _is_below(arguments[0].co_filename, installed)
    if event in (
        "open",
        "os.chmod",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "shutil.rmtree",
        "sqlite3.connect",
    ):
        written = event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if isinstance(arguments[0], int):
            return True
        path = os.path.realpath(os.fsdecode(arguments[0]))
        return (
            _is_below(path, own)
            or (not written and _is_below(path, installed))
            or path in (os.devnull, "/dev/urandom")
        )
    return False


def _is_below(path: str, folders: tuple[Path, ...]) -> bool:
    return any(Path(path).is_relative_to(folder) for folder in folders)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
