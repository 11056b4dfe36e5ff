"""Python processes of ours that start at once: forked from one that has imported what they need.

A process that runs `mlops`, `dagster` or a module of ours spends 3 to 5 seconds on imports before
its first line. Here the fork server of `multiprocessing` imports once in a session, and each
process is a fork of it: one of its own, with arguments, directory, environment, session, standard
streams, exit code and signals as `subprocess` would give it.

    done = interpreter.run(["mlops", "model", "list", "--json"], cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr

    with interpreter.Process(["-m", "mlops_assets_tests.components.interleaved", home], cwd=folder)
    as process:
        process.wait_for_output("training")
        process.send_signal(signal.SIGINT)
        assert process.wait(100) == 130, process.err

Arguments begin with `-c CODE`, `-m MODULE`, the path of a script, or the name of a command that an
installed package declares; a leading `sys.executable` may stay. The fixture `forked_workers` lets
the hub have its processes so too; trainings fork theirs anyway.

What Python and its libraries read at their own start is as the server found it: modules are
imported, hashes have one seed, `PYTHON*` (but `PYTHONPATH`) and `OMP_*` (but `OMP_NUM_THREADS`) are
fixed. A test about what is imported, how fast, or about the installed script itself starts a real
process, and gives the reason.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, Self

import pytest

from mlops_assets.hub.external import publisher

# Not onnxruntime: it starts a thread and opens a database when it is imported, neither of which a
# fork may share.
IMPORTED = (
    __name__,
    "dagster",
    "dagster._cli",
    "mlops_assets.cli",
    "mlops_assets.components",
    "mlops_assets.definitions",
    "mlops_assets.external",
    "mlops_assets.hub.app",
    "mlops_assets.training.process.supervisor",
    "pandas",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.svm",
    "skops.io",
    "skl2onnx",
    "onnx",
    "torch",
    "matplotlib.figure",
    "rasterio",
    "pystac",
    "stac_model",
    "mlops_assets_tests.faults.forks",
)
ROOT = Path(__file__).parents[1]
_OURS = ("MLOPS_", "DAGSTER_")
_PATH = [entry for entry in sys.path if entry]  # in the server: what every interpreter has
_starting = threading.Lock()  # trials of a sweep start theirs in threads
_context = multiprocessing.get_context("forkserver")


class Process:
    """A running process, as `subprocess.Popen` gives it.

    Args:
        arguments: of the interpreter or the name of a command and its arguments; see above.
        cwd: its directory, by default the current one.
        env: its environment, by default the current one; `PYTHONPATH` need not name this checkout.
        stdin: `subprocess.PIPE`, to write to `self.stdin`; nothing otherwise.
        stdout: a file, or None to have it as `self.out`.
        stderr: `subprocess.STDOUT`, or None to have it as `self.err`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
        stdout: IO[bytes] | None = None,
        stderr: int | None = None,
    ) -> None:
        with _starting:
            start_server()
        self.args = list(arguments)
        self.returncode: int | None = None
        self._kept = {
            "out": tempfile.TemporaryFile(),  # noqa: SIM115
            "err": tempfile.TemporaryFile(),  # noqa: SIM115
        }
        self._read: dict[str, str] = {}
        reader, writer = os.pipe()
        self.stdin = os.fdopen(writer, "wb", buffering=0) if stdin == subprocess.PIPE else None
        if self.stdin is None:
            os.close(writer)
        out = self._kept["out"] if stdout is None else stdout
        err = out if stderr == subprocess.STDOUT else self._kept["err"]
        # the one public wrapper that passes a file descriptor on to another process
        streams = [Connection(os.dup(file)) for file in (reader, out.fileno(), err.fileno())]
        os.close(reader)
        self._process = _context.Process(
            target=_run,
            args=(
                _command(self.args),
                str(cwd or Path.cwd()),
                dict(os.environ if env is None else env),
                streams,
            ),
            daemon=True,  # so that the end of the tests ends it
        )
        self._process.start()
        for stream in streams:
            stream.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def out(self) -> str:
        """The output so far."""
        return self._text("out")

    @property
    def err(self) -> str:
        """The output on stderr so far."""
        return self._text("err")

    def poll(self) -> int | None:
        """The exit code, or None while it runs; -N if signal N has ended it."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code.

        Raises:
            subprocess.TimeoutExpired: it is still running.
        """
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(
                self.args, timeout or 0, self.out.encode(), self.err.encode()
            )
        return code

    def wait_for_output(self, text: str, timeout: float = 120) -> None:
        """Wait until it has printed `text`, to stdout or stderr."""
        deadline = time.monotonic() + timeout
        while text not in self.out + self.err:
            ended = self.poll() is not None and text not in self.out + self.err
            assert not ended and time.monotonic() < deadline, (
                f"{text!r} was not printed:\n{self.out}{self.err}"
            )
            time.sleep(0.02)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End it and what it has started, if it still runs."""
        if self.poll() is None:
            self.kill()
            with suppress(ProcessLookupError):  # it had not begun its session yet
                os.killpg(self.pid, signal.SIGKILL)
            self.wait()
        if self.stdin is not None:
            self.stdin.close()

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._process.join(timeout)
            self.returncode = self._process.exitcode
            if self.returncode is not None:
                self._read = {name: self._text(name) for name in self._kept}
                for file in self._kept.values():
                    file.close()
                self._process.close()
        return self.returncode

    def _text(self, name: str) -> str:
        if name in self._read:
            return self._read[name]
        file = self._kept[name].fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")


def run(
    arguments: Sequence[str],
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes = b"",
    timeout: float = 200,
) -> subprocess.CompletedProcess[str]:
    """Run a process until it ends, as `subprocess.run` does; return exit code and output.

    Raises:
        AssertionError: it has not ended in time; the message has what it printed.
    """
    with Process(arguments, cwd, env, subprocess.PIPE) as process:
        assert process.stdin is not None
        # as `subprocess.run` does where a process ends without reading
        with suppress(BrokenPipeError):
            process.stdin.write(input)
            process.stdin.close()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{arguments} runs for {timeout} s:\n{process.out}{process.err}"
            ) from None
    return subprocess.CompletedProcess(process.args, process.wait(), process.out, process.err)


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub publish in a process of its own as always, but one that need not import."""
    monkeypatch.setattr(publisher, "start_child", _start_child)


def _start_child(
    arguments: Sequence[str], environment: Mapping[str, str], output: IO[bytes]
) -> Process:
    return Process(arguments, env=environment, stdout=output, stderr=subprocess.STDOUT)


@cache
def start_server() -> None:
    """Start the server in an environment without our settings, at the root of the checkout."""
    kept, here = dict(os.environ), Path.cwd()
    clean = {name: value for name, value in kept.items() if not name.startswith(_OURS)}
    # on a busy machine threads must not spin; and nothing it imports shall take its stderr for a
    # terminal
    clean |= {"PYTHONPATH": str(ROOT), "GOMP_SPINCOUNT": "1000", "TERM": "dumb"}
    _context.set_forkserver_preload(list(IMPORTED))
    try:
        _replace_environment(clean)
        os.chdir(ROOT)
        forkserver.ensure_running()
    finally:
        _replace_environment(kept)
        os.chdir(here)


def _replace_environment(values: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(values)


def _command(arguments: Sequence[str]) -> list[str]:
    """Return -c, -m or a path and what follows.

    Or `NAME=MODULE:FUNCTION` and what follows, for a command.
    """
    first, *rest = arguments
    if first == sys.executable:
        return [str(argument) for argument in rest]
    if first in ("-c", "-m") or first.endswith(".py"):
        return [str(argument) for argument in arguments]
    return [f"{first}={_commands()[first]}", *(str(argument) for argument in rest)]


@cache
def _commands() -> dict[str, str]:
    return {found.name: found.value for found in entry_points(group="console_scripts")}


def _run(
    command: list[str], directory: str, environment: dict[str, str], streams: list[Connection]
) -> NoReturn:
    """Do in the forked process what the interpreter does with its arguments."""
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    os.setsid()
    multiprocessing.current_process().daemon = False  # it may have processes of its own
    multiprocessing.set_start_method(None, force=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(directory)
    _replace_environment(environment)
    _renew(environment)
    try:
        _execute(command, [*environment.get("PYTHONPATH", "").split(os.pathsep), *_PATH])
        code: Any = 0
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:
        traceback.print_exc()
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()  # multiprocessing does not
    sys.exit(code)


def _renew(environment: Mapping[str, str]) -> None:
    """Renew what a fork would share with its brothers."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    np.random.seed()
    if threads := environment.get("OMP_NUM_THREADS"):
        threadpool_limits(int(threads))


def _execute(command: list[str], path: list[str]) -> None:
    first, *rest = command
    path = [entry for entry in path if entry]
    # by -m
    warnings.filterwarnings(
        "ignore", r".*found in sys\.modules after import of package", RuntimeWarning
    )
    if first == "-c":
        sys.path, sys.argv = ["", *path], ["-c", *rest[1:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    elif first == "-m":
        sys.path, sys.argv = [str(Path.cwd()), *path], rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first.endswith(".py"):
        sys.path, sys.argv = [str(Path(first).resolve().parent), *path], [first, *rest]
        runpy.run_path(first, run_name="__main__")
    else:
        name, _, entry = first.partition("=")
        script = Path(sys.executable).with_name(name)
        sys.path, sys.argv = [str(script.parent), *path], [str(script), *rest]
        module, _, function = entry.partition(":")
        __import__(module)
        sys.exit(getattr(sys.modules[module], function)())
