"""The command `mlops hub`, as a process of its own.

It serves, a client is killed, another continues.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from mlops_assets.cli import app
from mlops_assets.store import Store
from mlops_assets_tests.hub.serving import TOKEN, caller, finished, put
from mlops_assets_tests.interpreter import Process
from mlops_assets_tests.servers.processes import HOST, free_port

CLIENT = """
import time
from mlops_assets.external import external_run
server = {{"url": "{url}", "token": "{token}"}}
with external_run("crops", "fields", {{}}, 5, task="classification", **server) as run:
    step = 0
    while True:
        run.log({{"loss": 1.0}}, step)
        step += 1
        time.sleep(0.01)
"""


@pytest.mark.slow
def test_another_client_continues_the_run_of_a_killed_client(store: Store, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://{HOST}:{port}"
    script = tmp_path / "train.py"
    script.write_text(CLIENT.format(url=url, token=TOKEN))
    environment = {**os.environ, "MLOPS_API_TOKEN": TOKEN}
    with Process(["mlops", "hub", "--port", str(port)], env=environment) as server:
        server.wait_for_output("Uvicorn running on")
        with Process([str(script)], env=environment) as process:
            while not [
                run for run in store.registry.runs("crops") if store.registry.next_seq(run.run_id)
            ]:
                assert process.poll() is None, process.err
                time.sleep(0.1)
            process.send_signal(signal.SIGKILL)
            process.wait(60)
        (run,) = store.registry.runs("crops")
        assert (run.status, run.trainer, run.seed) == ("running", "train.py", 5)
        with caller(url) as client:
            known = client.get(f"runs/{run.run_id}").json()
            assert known["points"] > 0
            put(client, f"runs/{run.run_id}/model.onnx", b"no model")
            document = finished(client, run.run_id, points=known["points"])
        assert "not an ONNX file" in document["failure"]["message"]
        assert httpx.get(url).status_code == 401


def test_the_command_names_missing_settings(store: Store) -> None:
    answer = CliRunner().invoke(app, ["hub", "--host", "0.0.0.0"])
    assert answer.exit_code == 1 and "MLOPS_API_TOKEN" in str(answer.exception)
    answer = CliRunner().invoke(app, ["hub", "--largest-file", "much"])
    assert answer.exit_code == 2
