"""Random and hostile requests, in a fixed number and order.

They execute, open and contact nothing.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.store import Store
from mlops_assets_tests.hub.audited_server import END_NOTES, OPENED, START_NOTES
from mlops_assets_tests.hub.serving import START, TOKEN, caller, digest, finished, put
from mlops_assets_tests.interpreter import Process
from mlops_assets_tests.servers.processes import HOST, free_port

REQUESTS = 800
SEED = 11
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"]
OTHER_HEADERS = [
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "Forwarded",
    "Expect",
    "Upgrade",
    "Connection",
    "Range",
    "Cookie",
    "Transfer-Encoding",
    "Content-Encoding",
]
FIRST_BYTES = [
    b"\x89PNG\r\n\x1a\n",
    b"\x93NUMPY\x01\x00",
    b"PK\x03\x04",
    b"\xff\xfe",
    b"\x08\x08\x3a",
]
AUTHORIZED = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n"


@pytest.fixture
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """A server on loopback that must not be contacted, and the bytes that it received."""
    heard: list[bytes] = []
    with socket.create_server((HOST, 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(256))

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://{HOST}:{server.getsockname()[1]}/x", heard
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


class Fuzz:
    """Requests made of valid and invalid parts."""

    def __init__(self, run_id: str, url: str, marker: Path) -> None:
        self._random = random.Random(SEED)
        self._run_id = run_id
        command = f"__import__('os').system('touch {marker}')"
        self._texts = [
            url,
            f"file://{marker}",
            "file:///etc/passwd",
            "/etc/passwd",
            "../../../etc/passwd",
            "..%2f..%2fetc%2fpasswd",
            "%00",
            "%0d%0aX-Injected: yes",
            "%ed%a0%80",
            "%ff%fe",
            "\x00",
            "\r\nX-Injected: yes",
            "ä",
            "\ud800",
            "{{7*7}}",
            "${jndi:ldap://" + url + "}",
            "<script>alert(1)</script>",
            "'; DROP TABLE runs; --",
            command,
            "os:system",
            "builtins:eval",
            "subprocess:Popen",
            "hostile.net:Net",
            "torch.nn:Sequential",
            "run",
            "torch.hub:load",
            "torch.nn.modules.container:Sequential",
            "x" * 300,
            "",
            " ",
            "crops",
            "fields@v1",
            "@",
            "fields@" + "9" * 400,
            f"sqlite:///{marker}",
            f"postgresql://{url[7:-2]}/x",
            f"s3://{url[7:-2]}/x",
            "classification",
            "NaN",
            "\U0001f600",
        ]
        self._values: list[Any] = [
            None,
            True,
            -1,
            0,
            2**63,
            2**64,
            -(2**70),
            10**400,
            1e308,
            float("inf"),
            float("nan"),
            [],
            {},
            [[[[[]]]]],
            {"": {"": ""}},
            ["x"] * 1_000,
        ]

    def request(self) -> bytes:
        """Return the bytes of one request."""
        random = self._random
        method, path = (
            random.choice(self._asked())
            if random.random() < 0.5
            else (random.choice(METHODS), self._path())
        )
        content, encoding = self._body()
        headers = {
            "Host": random.choice(["x", "127.0.0.1:80", self._line()]),
            "Authorization": f"Bearer {TOKEN}",
            "Content-Length": str(len(content)),
            **digest(content),
            **encoding,
        }
        for _ in range(random.choice([0, 0, 1, 2])):
            values = [self._line(), "chunked", "gzip", "100-continue", "websocket", "-1", "close"]
            headers[random.choice([*headers, *OTHER_HEADERS])] = random.choice(values)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        line = f"{method} {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n"
        made = line.encode(errors="surrogatepass") + content
        if random.random() < 0.2:  # a byte here and there
            broken = bytearray(made)
            for _ in range(random.randrange(1, 5)):
                broken[random.randrange(len(broken))] = random.randrange(256)
            made = bytes(broken)
        return made

    def _asked(self) -> list[tuple[str, str]]:
        """Methods and paths that there are, of a run that there is."""
        run = f"/api/v1/runs/{self._run_id}"
        files = [
            "model.onnx",
            "native/architecture.json",
            f"native/{self._line()}",
            "outputs/scores.npy",
            "figures/a.png",
        ]
        return [
            ("GET", run),
            ("GET", f"{run}/samples"),
            ("POST", "/api/v1/runs"),
            ("GET", "/api/v1/openapi.json"),
            ("POST", f"{run}/points"),
            ("POST", f"{run}/finish"),
            *(("PUT", f"{run}/{name}") for name in files),
        ]

    def _line(self) -> str:
        return self._random.choice(self._texts)

    def _path(self) -> str:
        random = self._random
        run = random.choice([self._run_id, self._run_id, self._line()])
        ends = [
            "",
            "/",
            "/points",
            "/samples",
            "/model.onnx",
            "/finish",
            "/native/architecture.json",
            f"/native/{self._line()}",
            f"/outputs/{self._line()}.npy",
            f"/figures/{self._line()}.png",
            f"?{self._line()}={self._line()}",
        ]
        below = f"/api/v1/runs/{run}{random.choice(ends)}"
        return random.choice(["/api/v1/runs", below, below, self._line()])

    def _body(self) -> tuple[bytes, dict[str, str]]:
        random = self._random
        layer = {
            "class": self._line(),
            "arguments": self._value(),
            "children": [{"class": self._line()}],
        }
        document = random.choice(
            [
                {
                    **START,
                    random.choice(
                        [*START, "parameters", "tags", "code", "environment", "run_id", "trainer"]
                    ): self._value(),
                },
                {
                    **START,
                    "declared": {
                        "task": "classification",
                        random.choice(["trainer", "bands", "gates"]): self._value(),
                    },
                },
                {"points": [[0, self._line(), 0, 1.0, self._value()]]},
                {
                    "status": random.choice(["failed", "succeeded", self._line()]),
                    "framework": self._line(),
                },
                layer,
                self._value(),
            ]
        )
        text = json.dumps(document)
        if random.random() < 0.1:
            text = text.replace(":", ": " + "[" * random.choice([10, 40, 2_000]), 1)
        content = text.encode()
        if random.random() < 0.2:
            content = random.choice(FIRST_BYTES) + content
        return content, random.choice([{}, {}, {"Content-Type": self._line()}])

    def _value(self) -> Any:
        return self._random.choice(
            [*self._values, *self._texts, {self._line(): self._line()}, [self._line()]]
        )


def answered(port: int, request: bytes) -> bytes:
    received = b""
    with socket.create_connection((HOST, port), timeout=60) as peer:
        try:
            peer.sendall(request)
            while chunk := peer.recv(1 << 16):
                received += chunk
        except OSError:
            pass
    return received


@pytest.mark.slow
def test_random_requests_execute_open_and_contact_nothing(
    store: Store, listener: tuple[str, list[bytes]], tmp_path: Path
) -> None:
    (url, heard), marker, notes = listener, tmp_path / "marker", tmp_path / "notes.json"
    port = free_port()
    with Process(
        ["-m", "mlops_assets_tests.hub.audited_server", str(port), str(notes)], env=dict(os.environ)
    ) as server:
        server.wait_for_output("Uvicorn running on")
        with caller(f"http://{HOST}:{port}") as client:
            run_id = ""
            for (
                framework,
                files,
            ) in (  # what is imported for good requests, and for bad ones, is imported before
                (None, {"model.onnx": b"no model"}),
                ("pytorch", {"native/architecture.json": b"{}", "native/model.safetensors": b""}),
            ):
                run_id = client.post("runs", json=START).json()["run_id"]
                client.get(f"runs/{run_id}/samples")
                client.post(f"runs/{run_id}/points", json={"points": [[0, "loss", 0, 1.0, 1e9]]})
                for name, content in files.items():
                    put(client, f"runs/{run_id}/{name}", content)
                finished(client, run_id, framework=framework)
            run_id = client.post("runs", json=START).json()["run_id"]
            client.get("runs")  # SQLAlchemy executes code of its own for a new kind of query
            client.get(f"http://{HOST}:{port}{START_NOTES}")
        fuzz, statuses = Fuzz(run_id, url, marker), Counter[str]()
        for _ in range(REQUESTS):
            request = fuzz.request()
            received = answered(port, request)
            assert b"X-Injected" not in received.partition(b"\r\n\r\n")[0], request
            status = received[9:12].decode()
            statuses[status] += 1
            assert status < "500" or status in ("501", "505"), (
                request,
                received,
                server.err[-2_000:],
            )
            if status >= "400" and not request.startswith(b"HEAD"):
                assert b"content-type: application/problem+json" in received, (request, received)
        assert b" 404 " in answered(port, f"GET {END_NOTES} HTTP/1.1\r\n{AUTHORIZED}\r\n".encode())
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        assert "Traceback" not in server.err, server.err[-5_000:]
    assert heard == [] and not marker.exists()
    # what is asked for in the end shows that everything else would have been noted
    assert [(event, OPENED in arguments) for event, arguments in json.loads(notes.read_text())] == [
        ("open", True)
    ]
    assert all(statuses[status] >= 20 for status in ("200", "400", "404", "422")), statuses
