"""The images: their Dockerfile and locks; and one of them, built and run here."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops_assets_tests.deployments.docker.composed import DOCKER, REPOSITORY
from mlops_assets_tests.deployments.docker.scripts import script
from mlops_assets_tests.services import require_program, require_script

LOCKS = ("build", "code", "gpu", "serving")
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

    def run(self, *words: str, env: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run a command as the image's user."""
        settings = [part for text in env for part in ("--env", text)]
        return subprocess.run(
            ["buildah", "run", *settings, self.name, "--", *words],
            env=self.environment,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A container of the image `code`; its build takes long, and ten gigabytes."""
    if not os.environ.get("IMAGES"):
        pytest.skip("images are built by 'make test-images'")
    if os.geteuid() != 0:
        pytest.skip("debootstrap makes a base as root only")
    for program in ("buildah", "debootstrap"):
        require_program(program, program)
    root = tmp_path_factory.mktemp("containers")
    storage = root / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{root}/graph"\nrunroot = "{root}/run"\n'
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

    try:
        base = output(str(DOCKER / "base"))
        image = output(sys.executable, str(DOCKER / "build.py"), "code", "--base", base)
        yield Container(output("buildah", "from", image), environment)
    finally:
        subprocess.run(["buildah", "rm", "--all"], env=environment, capture_output=True)
        subprocess.run(["buildah", "rmi", "--all", "--force"], env=environment, capture_output=True)


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(3000)
def test_the_image_runs_as_its_user_and_keeps_nothing_of_the_build(container: Container) -> None:
    version = container.run("mlops", "--version")
    assert version.stdout.startswith("mlops_assets "), version.stderr
    assert container.run("id", "-u").stdout.strip() == "10001"
    # but for these nothing can be written, as with a read-only root
    found = container.run(
        "find", "/", "-xdev", "-writable", "-not", "-type", "l", "-not", "-path", "/proc/*",
        "-not", "-path", "/sys/*", "-not", "-path", "/dev/*", "-prune", "-print",
    ).stdout.split()  # fmt: skip
    writable = {path for path in found if not path.startswith(("/tmp", "/var/tmp", "/run"))}
    assert writable == {"/home/mlops", "/var/lib/mlops"}
    # the first step of the demo, in the one folder for data
    committed = container.run(
        "python", "-c", FIRST_STEP, env=("MLOPS_WORKSPACE=/var/lib/mlops/workspace",)
    )
    assert "indian_pines@v1" in committed.stdout, committed.stderr
    bill = json.loads(container.run("cat", "/opt/mlops/share/sbom/mlops.cdx.json").stdout)
    assert {own["name"]: own["version"] for own in bill["components"]}["torch"].endswith("+cpu")
    for place in ("/etc/pip.conf", "/run/secrets/pip.conf", "/root/.cache/pip", "/build"):
        assert container.run("test", "-e", place).returncode == 1, place
    inspected = subprocess.run(
        ["buildah", "inspect", container.name],
        env=container.environment,
        capture_output=True,
        text=True,
    ).stdout
    assert '"org.opencontainers.image.licenses": "Apache-2.0"' in inspected
    for value in script("build").pip_settings().values():
        assert value not in inspected or len(value) < 4


FIRST_STEP = """
from mlops_assets.cli import demo
from mlops_assets.cli.terminal.output import open_store
from mlops_assets.orchestration.project import open_project
from mlops_assets.settings import DEFAULT_MODULE, Settings
settings = Settings.from_environment()
with open_project(settings, DEFAULT_MODULE) as project:
    store = open_store()
    demo._land(store.workspace.root / "landing" / demo.DATASET, rows=slice(0, None, 2))
    demo._launch(project, "committing", f"{demo.DATASET}_landing")
    demo._print_version(store, "v1")
"""
