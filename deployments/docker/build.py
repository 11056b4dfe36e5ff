"""Build images of `deployments/docker`: `python deployments/docker/build.py TARGET …`.

Buildah builds them, or else Docker. The settings of pip on this machine, which may name an index
with a password, are mounted into the steps that install and are in no image.
"""

from __future__ import annotations

import argparse
import configparser
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("code", "gpu", "hub", "serving")
PIP_CACHE = "/root/.cache/pip"  # in the steps that install
_SCOPES = ("global", "install", "download", ":env:")  # of the settings of pip, the last one wins


def pip_settings() -> dict[str, str]:
    """Return pip's settings on this machine: its files and its environment, merged."""
    listed = _output([sys.executable, "-m", "pip", "config", "list"])
    found: dict[str, dict[str, str]] = {scope: {} for scope in _SCOPES}
    for line in listed.splitlines():
        key, equals, value = line.partition("=")
        scope, _, name = key.rpartition(".")
        if equals and scope in found:
            # pip writes them as Python does
            found[scope][name] = value.strip("'\"").replace("\\n", "\n")
    merged: dict[str, str] = {}
    for scope in _SCOPES:
        merged |= found[scope]
    # the locks name every release already
    merged.pop("constraint", None)
    return merged


def mounts(settings: Mapping[str, str]) -> list[Path]:
    """Return the files and folders of this machine that pip's settings name."""
    found: list[Path] = []
    for word in " ".join(settings.values()).split():
        parts = urlsplit(word)
        # an index refers to files beside it
        path = Path(unquote(parts.path)).parent if parts.scheme == "file" else Path(word)
        if path.is_absolute() and path.exists() and path not in found:
            found.append(path)
    return found


def pip_file(settings: Mapping[str, str], folder: Path) -> Path:
    """Write pip's settings as its one file of configuration."""
    parser = configparser.RawConfigParser()
    parser["global"] = dict(settings)
    file = folder / "pip.conf"
    with file.open("w") as opened:
        parser.write(opened)
    file.chmod(0o600)
    return file


def labels() -> dict[str, str]:
    """Return the build arguments that become labels: version, revision and source."""
    text = (ROOT / "mlops_assets" / "__init__.py").read_text()
    version = next(
        line.partition("=")[2].strip(" \"'")
        for line in text.splitlines()
        if line.startswith("__version__")
    )
    git = shutil.which("git")
    revision = _output([git, "rev-parse", "HEAD"]) if git else ""
    changed = _output([git, "status", "--porcelain"]) if git else ""
    # no source is named in the package
    source = os.environ.get("SOURCE", "")
    dirty = "-dirty" if changed else ""
    return {"VERSION": version, "REVISION": f"{revision}{dirty}", "SOURCE": source}


def command(target: str, name: str, base: str | None, folder: Path) -> list[str]:
    """Return the command that builds one target.

    Args:
        target: of the Dockerfile.
        name: of the image.
        base: image that all are made from; None for the default of the Dockerfile.
        folder: for the file of pip's settings.
    """
    arguments = labels() | ({"BASE": base} if base else {})
    settings = pip_settings()
    words = [
        *("--file", str(ROOT / "deployments" / "docker" / "Dockerfile")),
        *("--target", target, "--tag", name),
        *("--secret", f"id=pip,src={pip_file(settings, folder)}"),
        *(part for key, text in arguments.items() for part in ("--build-arg", f"{key}={text}")),
    ]
    buildah = shutil.which("buildah")
    if buildah:
        cache = Path(_output([sys.executable, "-m", "pip", "cache", "dir"]))
        cache.mkdir(parents=True, exist_ok=True)
        writable = ["--volume", f"{cache}:{PIP_CACHE}"]
        seen = [part for path in mounts(settings) for part in ("--volume", f"{path}:{path}:ro")]
        # the format of OCI has no health checks; the targets share most of their layers
        return [
            buildah,
            "build",
            "--format",
            "docker",
            "--layers",
            *writable,
            *seen,
            *words,
            str(ROOT),
        ]
    docker = shutil.which("docker")
    if docker:
        return [docker, "buildx", "build", "--load", *words, str(ROOT)]
    sys.exit("neither buildah nor docker is installed; install the Debian package buildah")


def _output(words: Sequence[str]) -> str:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main() -> None:
    """Build the targets that are named, all but the one for GPUs by default."""
    parser = argparse.ArgumentParser(description="Build the images of a deployment.")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    parser.add_argument("--base", help="image with Python 3.11, by digest in a release")
    parser.add_argument("--repository", default="localhost/mlops-assets", help="of the images")
    options = parser.parse_args()
    for target in options.targets or ("code", "hub", "serving"):
        name = f"{options.repository}-{target}:{labels()['VERSION']}"
        with tempfile.TemporaryDirectory() as folder:
            words = command(target, name, options.base, Path(folder))
            done = subprocess.run(words, env={**os.environ, "DOCKER_BUILDKIT": "1"}, check=False)
        if done.returncode:
            sys.exit(f"{name} is not built: exit code {done.returncode} of {words[0]}")
        print(name)


if __name__ == "__main__":
    main()
