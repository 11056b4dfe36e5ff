"""A forked process is as a real one.

What it is given, what it prints, how it ends, and that it can be stopped.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_assets_tests import interpreter

SCRIPT = """
import os, sys
values = os.environ.get("OWN"), os.environ.get("HOME")
print(sys.argv, __name__, sys.path[0], os.getcwd(), *values, sys.stdin.read())
"""
COMMANDS = [
    ["-c", SCRIPT, "a b", "-x"],
    ["script.py", "a b", "-x"],
    ["-m", "package.module", "a b"],
    [
        "-c",
        (
            "import atexit, threading; atexit.register(print, 'bye'); threading.Timer(0.1, print,"
            " ['thread']).start()"
        ),
    ],
    ["-c", "raise SystemExit(7)"],
    ["-c", "import sys; sys.exit('refused')"],
    ["-c", "1 / 0"],
    ["-c", "raise KeyboardInterrupt"],
    ["-c", "import os; os.kill(os.getpid(), 9)"],
]


def test_it_gets_prints_and_ends_as_a_real_one(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    for path in ("script.py", "package/module.py"):
        (tmp_path / path).write_text(SCRIPT)
    environment = {"OWN": "1", "PATH": os.environ["PATH"]}
    for command in COMMANDS:
        forked = interpreter.run(command, tmp_path, environment, b"input\n")
        real = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            input="input\n",
            text=True,
            capture_output=True,
            check=False,
        )
        assert (forked.returncode, forked.stdout) == (real.returncode, real.stdout), (
            command,
            forked.stderr,
        )
        assert forked.stderr.splitlines()[-1:] == real.stderr.splitlines()[-1:], command


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -2), (signal.SIGTERM, -15), (signal.SIGKILL, -9)]
)
def test_a_signal_reaches_it(number: signal.Signals, code: int) -> None:
    with interpreter.Process(
        ["-c", "import time; print('ready', flush=True); time.sleep(600)"]
    ) as process:
        process.wait_for_output("ready")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0)
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(60) == code, process.err


def test_what_it_started_ends_with_it() -> None:
    code = "import os, time; os.fork(); print('ready', os.getpid(), flush=True); time.sleep(600)"
    with interpreter.Process(["-c", code]) as process:
        process.wait_for_output("ready")
    assert process.returncode == -9


def test_the_commands_of_installed_packages_are_known_by_their_names() -> None:
    done = interpreter.run(["mlops", "nonsense"])
    assert (done.returncode, "No such command 'nonsense'" in done.stderr) == (2, True)
    assert "Usage: mlops" in done.stderr
    assert interpreter.run(["dagster", "--version"]).stdout.startswith("dagster, version")


def test_the_processes_share_neither_threads_nor_random_numbers() -> None:
    code = (
        "import numpy, os, sys; print(numpy.random.rand(), len(os.listdir('/proc/self/task')),"
        " 'torch' in sys.modules)"
    )
    first, second = (interpreter.run(["-c", code]).stdout.split() for _ in range(2))
    assert first[0] != second[0]
    assert first[1:] == second[1:] == ["1", "True"]
