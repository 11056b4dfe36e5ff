"""Hrefs in Items of others: they reach no host of this network, and no bucket with our credentials, unless allowed."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from mlops_assets.datasets.landings.outside import store_outside
from mlops_assets.errors import StorageError

INSIDE = [
    "http://127.0.0.1:PORT/x.tif", "http://localhost:PORT/x.tif", "http://127.1:PORT/x", "http://2130706433:PORT/x",
    "http://0x7f.1:PORT/x", "http://0:PORT/x", "http://[::1]:PORT/x", "http://[::ffff:127.0.0.1]:PORT/x",
    "https://127.0.0.1:PORT/x", "http://user@127.0.0.1:PORT/x", "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/x", "http://192.168.1.1/x", "http://172.16.0.1/x", "http://100.64.0.1/x", "http://[fd00::1]/x",
    "http://[fe80::1]/x", "http://[2002:7f00:1::]/x", "http://224.0.0.1/x", "http:///x", "http://[/x",
    "http://127.0.0.1:99999/x",
]  # fmt: skip


class _Answers(http.server.BaseHTTPRequestHandler):
    asked: list[str]
    target = ""

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        self.send_response(302 if self.target else 200)
        self.send_header("Location", self.target)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[type[_Answers]]:
    handler = type("Answers", (_Answers,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        handler.port = serving.server_port  # type: ignore[attr-defined]
        yield handler
        serving.shutdown()


@pytest.mark.parametrize("href", INSIDE)
def test_a_host_of_this_network_is_not_asked(
    href: str, server: type[_Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLOPS_TRUSTED_SOURCES")
    with pytest.raises(StorageError, match=r"which is not public|cannot be resolved|could not be"):
        store_outside(href.replace("PORT", str(server.port)))  # type: ignore[attr-defined]
    assert server.asked == []


@pytest.mark.parametrize("trusted", ["127.0.0.1", "127.0.0.1/32, 10.0.0.0/8"])
def test_a_host_that_the_settings_name_is_asked_but_not_where_it_redirects_to(
    trusted: str, server: type[_Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_TRUSTED_SOURCES", trusted)
    url = f"http://127.0.0.1:{server.port}"  # type: ignore[attr-defined]
    assert store_outside(f"{url}/a%20b/x.tif")[1] == "a b/x.tif"
    server.target = "http://127.0.0.2/secret"
    with pytest.raises(StorageError, match=r"127\.0\.0\.2, which is not public"):
        store_outside(f"{url}/x.tif")


def test_another_bucket_is_read_without_credentials_unless_the_settings_name_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert store_outside("s3://others/x.tif")[0].config.get("skip_signature")
    monkeypatch.setenv("MLOPS_TRUSTED_SOURCES", "s3://ours/")
    assert not store_outside("s3://ours/x.tif")[0].config.get("skip_signature")
    assert store_outside("s3://ours.others/x.tif")[0].config.get("skip_signature")
