"""Hrefs in Items of others.

They reach no host of this network, and no bucket with our credentials, unless allowed.
"""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from obstore.store import S3Store

from mlops_assets.datasets.sources.base import LandedFile
from mlops_assets.datasets.sources.external_assets import store_outside
from mlops_assets.datasets.sources.object_store import download, stamp_of
from mlops_assets.datasets.sources.public_web import PublicWeb, public_session
from mlops_assets.datasets.sources.stac import crawler as stac_documents
from mlops_assets.datasets.sources.stac.crawler import search, walk
from mlops_assets.datasets.specification.source import StacLayout
from mlops_assets.errors import StorageError

INSIDE = [
    "http://127.0.0.1:PORT/x.tif",
    "http://localhost:PORT/x.tif",
    "http://127.1:PORT/x",
    "http://2130706433:PORT/x",
    "http://0x7f.1:PORT/x",
    "http://0:PORT/x",
    "http://[::1]:PORT/x",
    "http://[::ffff:127.0.0.1]:PORT/x",
    "https://127.0.0.1:PORT/x",
    "http://user@127.0.0.1:PORT/x",
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/x",
    "http://192.168.1.1/x",
    "http://172.16.0.1/x",
    "http://100.64.0.1/x",
    "http://[fd00::1]/x",
    "http://[fe80::1]/x",
    "http://[2002:7f00:1::]/x",
    "http://224.0.0.1/x",
    "http:///x",
    "http://[/x",
    "http://127.0.0.1:99999/x",
    "http://0177.0.0.1:PORT/x",
    "http://127.0.0.1.:PORT/x",
    "http://LOCALHOST.:PORT/x",
    "http://[::127.0.0.1]:PORT/x",
    "http://[64:ff9b::7f00:1]:PORT/x",
    "http://[::ffff:7f00:1]:PORT/x",
    "http://[::]:PORT/x",
    "http://[fe80::1%25lo]:PORT/x",
    "http://[ff02::1]/x",
    "http://[fec0::1]/x",
    "http://public.example@127.0.0.1:PORT/x",
    "http://127.0.0.1:PORT\\@public.example/x",
    "http://user:password@127.0.0.1:PORT/x",
    "s3://user:key@bucket/x",
    "s3://127.0.0.1:PORT/x",
    "az://a%2Fb/x",
    "gs:///x",
]


class _Answers(http.server.BaseHTTPRequestHandler):
    asked: list[str]
    target = ""
    content = b""
    authorizations: list[str | None]

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        self.authorizations.append(self.headers["Authorization"])
        self.send_response(302 if self.target else 200)
        self.send_header("Location", self.target)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.content)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[type[_Answers]]:
    handler = type("Answers", (_Answers,), {"asked": [], "authorizations": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        handler.port = serving.server_port  # type: ignore[attr-defined]
        yield handler
        serving.shutdown()


@pytest.mark.parametrize("href", INSIDE)
def test_a_host_of_this_network_receives_no_request(
    href: str, server: type[_Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLOPS_TRUSTED_SOURCES")
    with pytest.raises(StorageError, match=r"which is not public|cannot be resolved|could not be"):
        store_outside(href.replace("PORT", str(server.port)))  # type: ignore[attr-defined]
    assert server.asked == []


@pytest.mark.parametrize("trusted", ["127.0.0.1", "127.0.0.1/32, 10.0.0.0/8"])
def test_a_trusted_host_receives_a_request_but_not_its_redirect(
    trusted: str, server: type[_Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_TRUSTED_SOURCES", trusted)
    url = f"http://127.0.0.1:{server.port}"  # type: ignore[attr-defined]
    assert store_outside(f"{url}/a%20b/x.tif")[1] == "a b/x.tif"
    server.target = "http://127.0.0.2/secret"
    with pytest.raises(StorageError, match=r"127\.0\.0\.2, which is not public"):
        store_outside(f"{url}/x.tif")


def test_a_name_that_changes_its_address_leads_to_the_one_that_was_checked(
    server: type[_Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve, answers = socket.getaddrinfo, ["127.0.0.1", "10.0.0.1", "10.0.0.1"]

    def rebinding(host: str, *args: Any, **options: Any) -> Any:
        return resolve(answers.pop(0) if host == "rebinding.example" else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setenv("MLOPS_TRUSTED_SOURCES", "127.0.0.1")
    url = f"http://rebinding.example:{server.port}/x.tif"  # type: ignore[attr-defined]
    store, key = store_outside(url)
    assert isinstance(store, PublicWeb)
    assert server.asked == ["/x.tif"] and answers == ["10.0.0.1", "10.0.0.1"]
    store._session.close()  # so that it connects again
    with pytest.raises(StorageError, match=r"10\.0\.0\.1, which is not public"):
        store.head(key)


def test_a_name_with_one_address_of_this_network_receives_no_request(
    server: type[_Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = server.port  # type: ignore[attr-defined]
    both = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        for address in ("93.184.215.14", "127.0.0.1")
    ]
    monkeypatch.delenv("MLOPS_TRUSTED_SOURCES")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(StorageError, match=r"127\.0\.0\.1, which is not public"):
        store_outside(f"http://two.example:{port}/x")
    assert server.asked == []


def test_what_a_server_sends_is_what_it_announced(server: type[_Answers], tmp_path: Path) -> None:
    server.content = b"x" * 3_000_000
    store, key = store_outside(
        f"http://127.0.0.1:{server.port}/x.tif",  # type: ignore[attr-defined]
    )
    entry = store.head(key)
    file = LandedFile(key, entry["size"], stamp_of(entry))
    assert download(store, key, file, tmp_path / "x", "http://h").read_bytes() == server.content
    with pytest.raises(StorageError, match="more than"):
        download(store, key, replace(file, size=2_000_000), tmp_path / "y", "http://h")


@pytest.mark.parametrize("file", ["missing", "circle"])
def test_a_file_that_is_missing_or_redirects_in_circles(file: str, server: type[_Answers]) -> None:
    server.target = f"/{file}"
    with pytest.raises(StorageError, match="redirects too often"):
        store_outside(f"http://127.0.0.1:{server.port}/x")  # type: ignore[attr-defined]


LEADS = [
    ("http://10.0.0.1/next", "not public"),
    ("http://[::ffff:10.0.0.1]/next", "not public"),
    ("file:///etc/passwd", "not on a web server"),
    ("/etc/passwd", "not on a web server"),
    ("ftp://127.0.0.1/x", "not on a web server"),
    ("SELF", "in circles"),
]


@pytest.mark.parametrize("rel", ["next", "search"])
@pytest.mark.parametrize(("href", "said"), LEADS)
def test_links_of_a_stac_api_lead_to_public_web_servers_and_not_in_circles(
    href: str,
    said: str,
    rel: str,
    server: type[_Answers],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("MLOPS_TRUSTED_SOURCES")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("default login somebody password secret")
    url = f"http://127.0.0.1:{server.port}"  # type: ignore[attr-defined]
    href = f"{url}/search" if href == "SELF" else href
    asked = {
        "href": href if rel == "search" else f"{url}/search",
        "type": "application/geo+json",
        "method": "POST",
    }
    links = [{"rel": "search", **asked}, {"rel": "next", "href": href}]
    server.content = json.dumps(
        {
            "type": "Catalog",
            "id": "api",
            "stac_version": "1.1.0",
            "description": "An API",
            "links": links,
            "conformsTo": [
                "https://api.stacspec.org/v1.0.0/core",
                "https://api.stacspec.org/v1.0.0/item-search",
            ],
            "features": [
                {"id": "i", "type": "Feature", "assets": {}, "properties": {}, "links": []}
            ],
        }
    ).encode()
    with pytest.raises(StorageError, match=said):
        list(search(url, StacLayout()))
    assert len(server.asked) <= 4


@pytest.mark.parametrize("width", [1, 3])
def test_a_catalogue_that_a_server_makes_up_without_end_is_not_followed(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def made_up(path: str) -> bytes:
        read.append(path)
        links = [{"rel": "child", "href": f"{path}/{number}"} for number in range(width)]
        return json.dumps({"type": "Catalog", "stac_version": "1.1.0", "links": links}).encode()

    monkeypatch.setattr(stac_documents, "MAX_DOCUMENTS", 1_000)
    with pytest.raises(StorageError, match="name a smaller catalogue"):
        list(walk(made_up, "a", [], lambda path, href: href))
    assert len(read) <= 1_000


def test_an_api_receives_its_own_password_and_no_host_that_it_leads_to(
    server: type[_Answers], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("default login somebody password secret")
    url = f"http://127.0.0.1:{server.port}"  # type: ignore[attr-defined]
    public_session(url).get(url, timeout=20)
    public_session(url).get(url.replace("127.0.0.1", "localhost"), timeout=20)
    public_session().get(url, timeout=20)
    assert [found is not None for found in server.authorizations] == [True, False, False]


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"[]", b"5", b'{"type": "Catalog"}', b"\xff", b"x" * (65 << 20)]
)
def test_an_api_that_answers_nonsense_is_reported(content: bytes, server: type[_Answers]) -> None:
    server.content = content
    with pytest.raises(StorageError, match="could not be searched"):
        list(search(f"http://127.0.0.1:{server.port}", StacLayout()))  # type: ignore[attr-defined]


def is_anonymous(url: str) -> bool:
    store, _ = store_outside(url)
    assert isinstance(store, S3Store)
    return bool(store.config.get("skip_signature"))


def test_another_bucket_is_read_without_credentials_unless_the_settings_name_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert is_anonymous("s3://others/x.tif")
    monkeypatch.setenv("MLOPS_TRUSTED_SOURCES", "s3://ours/")
    assert not is_anonymous("s3://ours/x.tif")
    assert is_anonymous("s3://ours.others/x.tif")
