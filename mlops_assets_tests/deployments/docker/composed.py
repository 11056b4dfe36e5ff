"""What compose.yaml names, as processes of this machine: their commands, environment and files.

Paths of containers become folders, and names of services this machine with a free port each.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlops_assets_tests.servers.processes import HOST, free_port

REPOSITORY = Path(__file__).resolve().parents[3]
DOCKER = REPOSITORY / "deployments" / "docker"
ENTRYPOINT = ("mlops",)  # of our images
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::([-?])([^}]*))?\}")
_HEALTHY_WITHIN = 240.0  # seconds


class Unset(Exception):
    """A variable that compose.yaml demands is not set."""


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace variables as Compose does."""
    if isinstance(value, Mapping):
        return {key: interpolate(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, variables) for item in value]
    if not isinstance(value, str):
        return value

    def replaced(match: re.Match[str]) -> str:
        name, kind, text = match.groups()
        if name is None:
            return "$"
        if kind == "?" and not variables.get(name):
            raise Unset(f"{name}: {text}")
        return variables.get(name) or (text if kind == "-" else "")

    return _VARIABLE.sub(replaced, value)


def read_compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the whole of compose.yaml."""
    found: dict[str, Any] = interpolate(
        yaml.safe_load((DOCKER / "compose.yaml").read_text()), variables
    )
    return found


@dataclass(frozen=True)
class Composed:
    """The services of compose.yaml, each below a folder of its own.

    Attributes:
        document: compose.yaml.
        root: folder for what containers mount.
        secrets: folder with their files.
        extra: environment that an image has by itself here.
    """

    document: Mapping[str, Any]
    root: Path
    secrets: Path
    ports: Mapping[str, int]
    extra: Mapping[str, str]

    def here(self, service: str, text: str) -> str:
        """Replace names of services and paths of a container in a text."""
        text = re.sub(r"\b(s3|postgres|code)\b(:|, port: )(\d+)", self._address, text)
        text = text.replace("0.0.0.0", HOST)  # nobody but this machine may reach it
        text = re.sub(r"(?<=\s):\d+(?=\s)", f"{HOST}:{self.ports.get(service)}", text)
        for path in sorted(self._paths(service), key=len, reverse=True):
            text = re.sub(rf"(?<![\w/.-]){path}(?![\w-])", str(self.folder(service, path)), text)
        return text

    def _address(self, match: re.Match[str]) -> str:
        return f"{HOST}{match[2]}{self.ports[match[1]]}"

    def folder(self, service: str, path: str) -> Path:
        """Return where a path of a container is."""
        return self.root / service / path.lstrip("/")

    def _paths(self, service: str) -> set[str]:
        return {"/etc/mlops", "/etc/mlops-dagster", "/var/lib/mlops", "/run/secrets", "/data"}

    def mount(self, service: str) -> None:
        """Make the files of a service."""
        own = self.document["services"][service]
        self.folder(service, "/tmp").mkdir(parents=True)
        for kind in ("secrets", "configs"):
            for entry in own.get(kind, []):
                name = entry if isinstance(entry, str) else entry["source"]
                target = f"/run/secrets/{name}" if isinstance(entry, str) else entry["target"]
                source = self.document[kind][name]
                text = source.get("content") or self._file(kind, source["file"]).read_text()
                file = self.folder(service, target)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(self.here(service, text))
        for path in ("/var/lib/mlops/dagster", "/data"):
            self.folder(service, path).mkdir(parents=True, exist_ok=True)

    def _file(self, kind: str, path: str) -> Path:
        return self.secrets / Path(path).name if kind == "secrets" else DOCKER / path

    def environment(self, service: str) -> dict[str, str]:
        """Return the environment of a service, and no more of ours than a process needs."""
        own = self.document["services"][service].get("environment", {})
        values = {name: self.here(service, str(text)) for name, text in own.items()}
        if values.get("DAGSTER_PG_HOST"):
            values |= {"DAGSTER_PG_HOST": HOST, "DAGSTER_PG_PORT": str(self.ports["postgres"])}
        scripts = sysconfig.get_path("scripts")
        return {
            "PATH": f"{DOCKER}:{scripts}:{os.environ['PATH']}",
            "HOME": str(self.folder(service, "/home")),
            "TMPDIR": str(self.folder(service, "/tmp")),
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.extra,
            **values,
        }

    def command(self, service: str) -> list[str]:
        """Return the command of a service."""
        own = self.document["services"][service]
        words = [*own.get("entrypoint", ENTRYPOINT), *own["command"]]
        port = self.ports.get(service)
        if port is not None and "--port" in words:
            words[words.index("--port") + 1] = str(port)
        return [self.here(service, word) for word in words]

    def run(self, service: str, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in a service, as `docker compose exec` does."""
        return subprocess.run(
            words,
            env=self.environment(service),
            cwd=self.folder(service, "/tmp"),
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def started(self, service: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a service until the block ends; its output is in a file."""
        log = self.root / f"{service}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                self.command(service),
                env=self.environment(service),
                cwd=self.folder(service, "/tmp"),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            # with its container a run ends, too
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def wait_until_healthy(self, service: str, process: subprocess.Popen[bytes]) -> None:
        """Run the health check of a service until it passes.

        Raises:
            RuntimeError: the service has ended, or is not healthy in time.
        """
        kind, *words = self.document["services"][service]["healthcheck"]["test"]
        assert kind == "CMD"
        if "--port" in words:
            words[words.index("--port") + 1] = str(self.ports[service])
        deadline = time.monotonic() + _HEALTHY_WITHIN
        while True:
            done = self.run(service, words)
            if done.returncode == 0:
                return
            if process.poll() is not None or time.monotonic() > deadline:
                log = (self.root / f"{service}.log").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{service}: {done.stderr[-1000:]}\n{log}")
            time.sleep(0.5)


def new_ports(services: Sequence[str]) -> dict[str, int]:
    """Return a free port for each service that listens."""
    return {service: free_port() for service in services}
