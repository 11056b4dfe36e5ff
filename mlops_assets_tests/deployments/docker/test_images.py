"""The images: their Dockerfile and locks; and two of them, built and run here."""

from __future__ import annotations

import configparser
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from mlops_assets.store import Store
from mlops_assets_tests.deployments.docker.composed import DOCKER, REPOSITORY
from mlops_assets_tests.deployments.docker.scripts import script
from mlops_assets_tests.servers.processes import HOST, free_port
from mlops_assets_tests.services import require_program, require_script
from mlops_assets_tests.serving.published import production

LOCKS = ("build", "code", "gpu", "serving")
WORKSPACE = ("MLOPS_WORKSPACE=/var/lib/mlops/workspace",)
SERVED = ("MLOPS_WORKSPACE=/var/lib/mlops/served", "MLOPS_CACHE=/var/lib/mlops/cache-of-served")
LAND_ROWS = """
from pathlib import Path
from mlops_assets.cli.demo import land_rows
land_rows(Path("/var/lib/mlops/workspace/landing/indian_pines"), slice(0, None, 2))
"""
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+) \\$", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    """The releases that a lock names."""
    text = (REPOSITORY / "requirements" / f"{lock}.lock").read_text()
    return {canonical(name): version for name, version in _PIN.findall(text)}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_dockerfile_has_no_finding() -> None:
    done = subprocess.run(
        [str(require_script("hadolint")), str(DOCKER / "Dockerfile")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_have_hashes_and_the_releases_that_are_tested(lock: str) -> None:
    text = (REPOSITORY / "requirements" / f"{lock}.lock").read_text()
    assert "://" not in text
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"[A-Za-z0-9_.-]+==\S+ \\\n( +--hash=sha256:[0-9a-f]{64}( \\\n)?)+", entry)
    tested = dict(
        line.split("==") for line in (REPOSITORY / "constraints.txt").read_text().splitlines()
    )
    tested = {canonical(name): version for name, version in tested.items()}
    for name, version in pins(lock).items():
        assert tested.get(name, version) == version.partition("+")[0], name


def test_each_image_has_the_framework_that_it_is_for() -> None:
    assert pins("code")["torch"].endswith("+cpu")
    assert not [name for name in pins("code") if name.startswith("nvidia-")]
    assert "+" not in pins("gpu")["torch"] and "nvidia-cudnn-cu13" in pins("gpu")
    assert not {"torch", "scikit-learn", "dagster", "matplotlib"} & set(pins("serving"))


def test_what_is_locked_is_what_the_package_needs_now() -> None:
    import tomllib

    from packaging.requirements import Requirement

    from mlops_assets.integrations.deployment.image.write import IMPORTED

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"]]
    for extra in ("demo", "cluster", "sweeps", "mlflow"):
        texts += extras[extra]
    for lock, needed in {"code": texts, "gpu": [*texts, *extras["gpu"]]}.items():
        for text in needed:
            requirement = Requirement(text)
            assert requirement.specifier.contains(pins(lock)[canonical(requirement.name)]), text
    assert {canonical(name) for name in IMPORTED} <= set(pins("serving"))


def test_settings_of_pip_are_mounted_into_the_build_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = script("build")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (tmp_path / "index" / "simple").mkdir(parents=True)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@index.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"file://{tmp_path}/index/simple")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path))
    settings = build.pip_settings()
    assert "constraint" not in settings
    assert {wheels, tmp_path / "index"} <= set(build.mounts(settings))
    file = build.pip_file(settings, tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    parser = configparser.RawConfigParser()
    parser.read(file)
    assert parser["global"]["index-url"] == "https://user:secret@index.example/simple"
    monkeypatch.setattr(build.shutil, "which", lambda name: name if name == "buildah" else None)
    words = build.command("code", "name", None, tmp_path)
    assert "secret" not in " ".join(words).replace("--secret", "")
    assert f"{wheels}:{wheels}:ro" in words


@dataclass(frozen=True)
class Container:
    """A container of an image that was built here, run by buildah.

    Attributes:
        name: of the container.
        environment: with the place of its storage.
    """

    name: str
    environment: Mapping[str, str]

    def command(self, *words: str, env: tuple[str, ...] = ()) -> list[str]:
        """Return the words that run a command as the image's user."""
        settings = [part for text in env for part in ("--env", text)]
        return ["buildah", "run", *settings, self.name, "--", *words]

    def run(self, *words: str, env: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run a command as the image's user to its end."""
        return subprocess.run(
            self.command(*words, env=env), env=self.environment, capture_output=True, text=True
        )

    @contextmanager
    def running(
        self, *words: str, env: tuple[str, ...], log: Path
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Have a command of the image's user run meanwhile."""
        with log.open("w") as output:
            process = subprocess.Popen(
                self.command(*words, env=env),
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(60)

    def copy(self, source: Path, target: str) -> None:
        """Copy a folder of this machine into it, for the image's user."""
        words = ("buildah", "copy", "--chown", "10001:10001", self.name, str(source), target)
        subprocess.run(words, env=self.environment, capture_output=True, check=True)

    def inspected(self) -> str:
        """Return what is known of its image, as JSON."""
        words = ("buildah", "inspect", self.name)
        return subprocess.run(words, env=self.environment, capture_output=True, text=True).stdout


def _driver(folder: Path) -> str:
    """Return the storage driver: overlay, or vfs, a copy of all files a layer, without a mount."""
    places = [folder / name for name in ("lower", "upper", "work", "merged")]
    for place in places:
        place.mkdir()
    lower, upper, work, merged = places
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    mount = ("mount", "-t", "overlay", "overlay", "-o", options, str(merged))
    if subprocess.run(mount, capture_output=True).returncode:
        return "vfs"
    subprocess.run(("umount", str(merged)), check=True)
    return "overlay"


@pytest.fixture(scope="module")
def new_container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Container]]:
    """Build a target and make the container of it; this takes long, and ten gigabytes."""
    if not os.environ.get("IMAGES"):
        pytest.skip("images are built by 'make test-images'")
    if os.geteuid() != 0:
        pytest.skip("debootstrap makes a base as root only")
    for program in ("buildah", "debootstrap"):
        require_program(program, program)
    root = tmp_path_factory.mktemp("containers")
    storage = root / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "{_driver(tmp_path_factory.mktemp("driver"))}"\n'
        f'graphroot = "{root}/graph"\nrunroot = "{root}/run"\n'
    )
    environment = {
        **os.environ,
        "CONTAINERS_STORAGE_CONF": str(storage),
        "BUILDAH_ISOLATION": "chroot",
        "TMPDIR": str(root),
    }

    def output(*words: str) -> str:
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}: {done.stdout[-2000:]} {done.stderr[-4000:]}"
        return done.stdout.strip().splitlines()[-1]

    @cache
    def make(target: str) -> Container:
        image = output(sys.executable, str(DOCKER / "build.py"), target, "--base", base)
        return Container(output("buildah", "from", image), environment)

    try:
        base = output(str(DOCKER / "base"))
        yield make
    finally:
        subprocess.run(["buildah", "rm", "--all"], env=environment, capture_output=True)
        subprocess.run(["buildah", "rmi", "--all", "--force"], env=environment, capture_output=True)


@pytest.fixture(scope="module")
def hub(new_container: Callable[[str], Container]) -> Container:
    """A container of the image `hub`, which has all that is in `code`."""
    return new_container("hub")


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(3000)
def test_the_image_runs_as_its_user_and_keeps_nothing_of_the_build(hub: Container) -> None:
    version = hub.run("mlops", "--version")
    assert version.stdout.startswith("mlops_assets "), version.stderr
    assert hub.run("id", "-u").stdout.strip() == "10001"
    # but for these nothing can be written, as with a read-only root
    found = hub.run(
        "find", "/", "-xdev", "-writable", "-not", "-type", "l", "-not", "-path", "/proc/*",
        "-not", "-path", "/sys/*", "-not", "-path", "/dev/*", "-prune", "-print",
    ).stdout.split()  # fmt: skip
    writable = {path for path in found if not path.startswith(("/tmp", "/var/tmp", "/run"))}
    assert writable == {"/home/mlops", "/var/lib/mlops"}
    # the first step of the demo, in the one folder for data
    landed = hub.run("python", "-c", LAND_ROWS)
    assert landed.returncode == 0, landed.stderr
    committed = hub.run("mlops", "dataset", "commit", "indian_pines", env=WORKSPACE)
    assert "indian_pines@v1" in committed.stdout, committed.stderr
    bill = json.loads(hub.run("cat", "/opt/mlops/share/sbom/mlops.cdx.json").stdout)
    assert {own["name"]: own["version"] for own in bill["components"]}["torch"].endswith("+cpu")
    for place in ("/etc/pip.conf", "/run/secrets/pip.conf", "/root/.cache/pip", "/build"):
        assert hub.run("test", "-e", place).returncode == 1, place
    inspected = hub.inspected()
    assert '"org.opencontainers.image.licenses": "Apache-2.0"' in inspected
    for value in script("build").pip_settings().values():
        assert value not in inspected or len(value) < 4


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("target", ["hub", "serving"])
def test_an_image_runs_its_command_until_its_own_check_passes(
    target: str, new_container: Callable[[str], Container], store: Store, tmp_path: Path
) -> None:
    container = new_container(target)
    production(store, "v1-1", number=1)
    store.registry.close()
    container.copy(store.workspace.root, "/var/lib/mlops/served")
    config = json.loads(container.inspected())["Docker"]["config"]
    port = config["Cmd"][-1]
    here = {"0.0.0.0": HOST, port: str(free_port())}
    command = [here.get(word, word) for word in (*config["Entrypoint"], *config["Cmd"])]
    check = [word.replace(f":{port}/", f":{here[port]}/") for word in config["Healthcheck"]["Test"]]
    assert check.pop(0) == "CMD"
    assert container.run(*check).returncode == 1
    log = tmp_path / "log"
    with container.running(*command, env=SERVED, log=log) as process:
        deadline = time.monotonic() + 300
        while container.run(*check).returncode:
            assert time.monotonic() < deadline and process.poll() is None, log.read_text()
            time.sleep(1)
