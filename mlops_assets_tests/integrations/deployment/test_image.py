"""The folder of an image, served and checked by plain processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_assets.integrations.deployment.deploy import deploy
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.store import Store
from mlops_assets_tests.integrations.deployment import image_process
from mlops_assets_tests.integrations.deployment.service import service, versions

TOKEN = "0123456789abcdef0123456789abcdef"
START_SECONDS = 60.0


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> Path:
    """The folder of an image of the newer version."""
    made = deploy(store, service(engine="docker", out=str(tmp_path / "out")), versions(store)[1])
    assert made.folder is not None
    return made.folder


def command(folder: Path, *arguments: str) -> list[str]:
    script = str(Path(image_process.__file__))
    parts = [str(folder / "requirements.txt"), str(folder / "package"), str(folder / "model")]
    return [sys.executable, "-I", script, *parts, *arguments]


def environment(token: str | None) -> dict[str, str]:
    ours = ("MLOPS_", "DAGSTER_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept if token is None else kept | {"MLOPS_API_TOKEN": token}


@contextmanager
def served(folder: Path, token: str) -> Iterator[str]:
    """The server of a folder on this machine; its URL, once it listens."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder.parent / "log.txt").open("w") as log:
        process = subprocess.Popen(
            command(folder, "--port", str(port)), env=environment(token), stdout=log, stderr=log
        )
    until = time.monotonic() + START_SECONDS
    try:
        while process.poll() is None and time.monotonic() < until:
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        assert process.poll() is None, (folder.parent / "log.txt").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def health(folder: Path, url: str, token: str | None) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, "-I", str(folder / "healthcheck.py"), url]
    return subprocess.run(script, env=environment(token), capture_output=True, text=True)


def infer(url: str, values: NDArray[np.float32], token: str | None) -> dict[str, object]:
    tensor = {"name": "input", "datatype": "FP32", "shape": list(values.shape)}
    body = json.dumps({"inputs": [tensor | {"data": values.ravel().tolist()}]}).encode()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with urlopen(Request(f"{url}/v2/models/land/infer", body, headers), timeout=20) as answer:
        found: dict[str, object] = json.loads(answer.read())
    return found


@pytest.mark.slow
def test_its_requirements_are_enough_to_serve_the_file_to_whoever_has_the_token(
    folder: Path,
) -> None:
    values = np.random.default_rng(0).uniform(50, 250, (3, 4)).astype(np.float32)
    with served(folder, TOKEN) as url:
        done = health(folder, url, TOKEN)
        assert (done.returncode, done.stdout) == (0, f"{url} is healthy\n"), done.stderr
        found = infer(url, values, TOKEN)
        with pytest.raises(HTTPError, match="401"):
            infer(url, values, None)
        without = health(folder, url, None)
        assert (without.returncode, "answers 401" in without.stderr) == (1, True)
        version = folder / "model" / "version.json"
        known = json.loads(version.read_text())
        version.write_text(json.dumps(known | {"sha256": "0" * 64}))
        other = health(folder, url, TOKEN)
        assert (other.returncode, f"serves sha256 {known['sha256']}" in other.stderr) == (1, True)
    gone = health(folder, url, TOKEN)
    assert (gone.returncode, "does not answer" in gone.stderr) == (1, True)
    outputs = found["outputs"]
    assert isinstance(outputs, list)
    scores = next(own for own in outputs if own["name"] == "scores")
    expected = OnnxModel(folder / "model" / "model.onnx").predict(values)["scores"]
    np.testing.assert_allclose(np.reshape(scores["data"], scores["shape"]), expected, rtol=1e-6)


def test_a_changed_file_or_an_open_address_without_a_token_is_not_served(folder: Path) -> None:
    opened = subprocess.run(
        command(folder, "--host", "0.0.0.0"), env=environment(None), capture_output=True, text=True
    )
    assert opened.returncode == 1 and "set MLOPS_API_TOKEN" in opened.stderr, opened.stderr
    (folder / "model" / "model.onnx").write_bytes(b"another model")
    changed = subprocess.run(
        command(folder, "--port", "0"), env=environment(TOKEN), capture_output=True, text=True
    )
    assert changed.returncode == 1 and "not the file that was deployed" in changed.stderr
