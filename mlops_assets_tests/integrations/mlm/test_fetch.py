"""Files of others: what is read of them, from where, and what is not."""

from __future__ import annotations

import http.server
import json
import os
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.datasets.sources import public_web
from mlops_assets.errors import ImportRefused, StorageError
from mlops_assets.integrations.mlm import fetch
from mlops_assets.integrations.mlm.fetch import model_of_item, read_record
from mlops_assets.storage import sha256_of
from mlops_assets_tests.integrations.mlm.foreign_models import write_item


class _Folder(http.server.BaseHTTPRequestHandler):
    folder: Path
    asked: list[str]
    seconds = 0.0

    def do_GET(self) -> None:
        self.asked.append(self.path)
        time.sleep(self.seconds)
        path = self.folder / self.path.lstrip("/")
        content = path.read_bytes() if path.is_file() else b""
        self.send_response(200 if path.is_file() else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Folder]]:
    """A trusted web server with the Item of `write_item`; its URL is `web.url`."""
    folder = tmp_path / "web"
    folder.mkdir()
    write_item(folder)
    handler = type("Folder", (_Folder,), {"folder": folder, "asked": []})
    monkeypatch.setenv("MLOPS_TRUSTED_SOURCES", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        handler.url = f"http://127.0.0.1:{serving.server_port}"  # type: ignore[attr-defined]
        yield handler
        serving.shutdown()


def change_asset(folder: Path, **changes: object) -> None:
    path = folder / "item.json"
    item = json.loads(path.read_text())
    item["assets"]["onnx"] |= changes
    path.write_text(json.dumps(item))


def fetched(place: str, scratch: Path) -> fetch.Fetched:
    scratch.mkdir()
    return model_of_item(read_record(place, scratch), place, scratch)


def test_the_onnx_file_of_an_item_at_a_url_is_fetched_and_checked(
    web: type[_Folder], tmp_path: Path
) -> None:
    url = web.url  # type: ignore[attr-defined]
    found = fetched(f"{url}/item.json", tmp_path / "scratch")
    assert found.place == f"{url}/weights.onnx" and not found.unchecked
    assert found.sha256 == sha256_of(web.folder / "weights.onnx")
    assert not any("weights.pth" in path for path in web.asked)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"file:checksum": f"1220{'0' * 64}"}, ImportRefused, "has the sha256"),
        ({"file:checksum": "d41d8cd98f00b204"}, ImportRefused, "cannot be checked"),
        ({"file:size": 5}, ImportRefused, "states 5"),
        ({"href": "gone.onnx"}, StorageError, "it is not there"),
        ({"href": "http://10.1.2.3/x.onnx"}, StorageError, "not public"),
        ({"href": "file:///etc/passwd"}, StorageError, "is not read"),
        ({"href": "weights.onnx?sig=abcdef"}, StorageError, r"sig=\*\*\* is not read"),
        ({"href": "page.onnx"}, ImportRefused, "is a web page, which is never opened"),
        ({"href": "pickle.onnx"}, ImportRefused, "is a pickle"),
        ({"href": "torch.onnx"}, ImportRefused, "is a ZIP archive"),
        ({"mlm:artifact_type": "torch.export"}, ImportRefused, r"no ONNX file .*torch.save"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(
    web: type[_Folder],
    tmp_path: Path,
    changes: dict[str, object],
    kind: type[Exception],
    message: str,
) -> None:
    (web.folder / "page.onnx").write_text("\n<!DOCTYPE html><html><body>Sign in</body></html>")
    (web.folder / "pickle.onnx").write_bytes(pickle.dumps({"a": 1}))
    (web.folder / "torch.onnx").write_bytes(b"PK\x03\x04" + b"0" * 64)
    if "href" in changes:
        changes = {**changes, "file:checksum": None, "file:size": None}
    change_asset(web.folder, **changes)
    with pytest.raises(kind, match=message):
        fetched(f"{web.url}/item.json", tmp_path / "scratch")  # type: ignore[attr-defined]


def test_a_host_of_this_network_is_not_asked(
    web: type[_Folder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLOPS_TRUSTED_SOURCES")
    with pytest.raises(StorageError, match="not public"):
        fetched(f"{web.url}/item.json", tmp_path / "scratch")  # type: ignore[attr-defined]
    assert web.asked == []


def test_a_server_that_never_answers_is_given_up(
    web: type[_Folder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_web, "TIMEOUT", (1.0, 0.1))
    monkeypatch.setattr(web, "seconds", 1.0)
    with pytest.raises(StorageError, match="could not be read"):
        fetched(f"{web.url}/item.json", tmp_path / "scratch")  # type: ignore[attr-defined]


@pytest.mark.parametrize("href", ["/etc/hostname", "file:///etc/hostname", "../fifo.onnx"])
def test_a_local_item_names_only_files_beside_it(tmp_path: Path, href: str) -> None:
    folder = tmp_path / "item"
    folder.mkdir()
    item = write_item(folder)
    os.mkfifo(tmp_path / "fifo.onnx")
    change_asset(folder, href=href)
    with pytest.raises(StorageError, match=r"is not (read, as an Item|a file)"):
        fetched(str(item), tmp_path / "scratch")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.yaml", "a: &x [1]\nb: *x\n", "aliases"),
        ("a.yaml", "a: [", "is not a record"),
        ("a.yaml", "!!python/object/apply:os.system ['true']", "is not a record"),
        ("a.json", "<html></html>", "a web page"),
        ("a.json", "[" * 90_000, "nested"),
        ("a.json", '{"type": "Collection"}', "is a Collection"),
        ("a.json", '{"a": "' + "x" * 200 + '"}', "at most 100 are read"),
    ],
)
def test_a_file_that_is_no_record_is_refused(
    tmp_path: Path, name: str, content: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "at most" in message:
        monkeypatch.setattr(fetch, "MAX_RECORD", 100)
    (tmp_path / name).write_text(content)
    with pytest.raises((ImportRefused, StorageError), match=message):
        read_record(str(tmp_path / name), tmp_path)


def test_dates_of_yaml_are_texts(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("datetime: 2024-05-01\nmlm:name: x\n")
    assert read_record(str(tmp_path / "a.yaml"), tmp_path)["datetime"] == "2024-05-01"
