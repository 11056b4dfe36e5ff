"""Certificates that our HTTP clients trust: the system's, and an authority of one's own."""

from __future__ import annotations

import http.server
import ssl
import threading
from pathlib import Path

import httpx
import pytest

from mlops_assets.certificates import trusted_certificates
from mlops_assets.errors import SettingsError
from mlops_assets.identity.declaration import SignIn
from mlops_assets.secret import Secret
from mlops_assets_tests.servers.authority import new_authority
from mlops_assets_tests.servers.processes import HOST


def test_an_authority_is_trusted_besides_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = new_authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    server = http.server.HTTPServer((HOST, 0), http.server.SimpleHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://{HOST}:{server.server_port}/ca.pem"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        httpx.get(url, verify=trusted_certificates())
    before = len(trusted_certificates().get_ca_certs())
    monkeypatch.setenv("MLOPS_CA_BUNDLE", str(files.authority))
    assert httpx.get(url, verify=trusted_certificates()).status_code == 200
    assert len(trusted_certificates().get_ca_certs()) == before + 1
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        ("", "has no certificate"),
        ("-----BEGIN CERTIFICATE-----\nhunter2\n", "that cannot be read: write each"),
    ],
)
def test_a_wrong_bundle_is_named(
    content: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca.crt"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("MLOPS_CA_BUNDLE", str(bundle))
    with pytest.raises(SettingsError, match=f"MLOPS_CA_BUNDLE={bundle}.*{message}"):
        trusted_certificates()


def test_the_client_of_a_mounted_secret_is_read_at_each_use(tmp_path: Path) -> None:
    client = SignIn(client_id=Secret(file=tmp_path / "client_id"))
    (tmp_path / "client_id").write_text("one\n")
    assert client.read_client_id() == "one"
    (tmp_path / "client_id").write_text("two\n")
    assert client.read_client_id() == "two"
