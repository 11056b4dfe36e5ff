"""The provenance of a run: code version, installed packages, hardware."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import socket
import subprocess  # nosec B404
from functools import lru_cache
from pathlib import Path

from mlops_assets import __version__
from mlops_assets.machine import cpu_name
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets.text.secret_urls import redacted
from mlops_assets.training.seeds import PYTORCH, torch_loaded

# settings of libraries that change how they round
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_NUM_THREADS",
    "NPY_DISABLE_CPU_FEATURES",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "XLA_FLAGS",
)


def code_version(trainer: Path) -> str:
    """Return the version of the code that trains.

    It is the git commit of the trainer's repository and its uncommitted changes, `1a2b3c4d5e6f` or
    `1a2b3c4d5e6f+dirty.89ab12cd`; without git a hash of the trainer's package,
    `source.89ab12cd34ef`.

    Args:
        trainer: file of the trainer.
    """
    return code_state(trainer)[0]


def code_state(trainer: Path) -> tuple[str, str | None]:
    """Return the code version, and the uncommitted changes of its repository as a patch.

    Args:
        trainer: file of the trainer.

    Returns:
        The version as `code_version` gives it, and the patch; None if nothing has changed.
    """
    folder = trainer.resolve().parent
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    tracked = (
        commit is not None and _git(folder, "ls-files", "--error-unmatch", trainer.name) is not None
    )
    if commit is None or not tracked:
        return f"source.{source_digest(folder)[:12]}", None
    return _state(folder, commit)


def repository_state(folder: Path) -> tuple[str, str | None] | None:
    """Return commit (`+dirty.…` if changed) and changes of the repository of a folder, if any."""
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    return None if commit is None else _state(folder, commit)


def repository_url(folder: Path) -> str | None:
    """Return the URL of the repository that a folder was cloned from, without credentials."""
    url = _git(folder, "config", "--get", "remote.origin.url")
    # a token may be given for the user's name
    return redacted(re.sub(r"^(https?://)[^/@]*@", r"\1", url.strip())) if url else None


def _state(folder: Path, commit: str) -> tuple[str, str | None]:
    status = _git(folder, "status", "--porcelain", "--untracked-files=no") or ""
    if not status.strip():
        return commit.strip(), None
    diff = _git(folder, "diff", "HEAD", "--binary") or ""
    return (
        (
            f"{commit.strip()}+dirty."
            f"{hashlib.sha256(diff.encode(errors='surrogateescape')).hexdigest()[:8]}"
        ),
        diff,
    )


def source_digest(folder: Path) -> str:
    """Return a digest of the Python files of a folder and of this package's version."""
    digest = hashlib.sha256(f"mlops_assets {__version__}\n".encode())
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def hardware(framework: str | None = None) -> JsonObject:
    """Return the machine, its processors and GPUs, and how they compute, as a run records them.

    A difference in the last digits is explained by `cpu`, the name of the processor;
    `instructions` and `threads`, those that each library uses; and `variables`, settings of
    libraries. What is unknown is left out.

    Args:
        framework: the framework of the run; PyTorch is asked only if it is that one, or is imported
            already.
    """
    instructions, threads = _libraries()
    gpus: list[Json] = []
    if framework == PYTORCH or torch_loaded():
        import torch

        instructions["pytorch"] = torch.backends.cpu.get_cpu_capability()
        threads["pytorch"] = torch.get_num_threads()
        if torch.cuda.is_available():
            gpus += map(torch.cuda.get_device_name, range(torch.cuda.device_count()))
    cpu = cpu_name()
    return {
        "host": socket.gethostname(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "cpus": (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        **({"cpu": cpu} if cpu else {}),
        "gpus": gpus,
        "instructions": instructions,
        "threads": threads,
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _libraries() -> tuple[JsonObject, JsonObject]:
    """Return the instruction sets and the threads of NumPy and of loaded BLAS and OpenMP."""
    import numpy as np
    from threadpoolctl import threadpool_info

    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    instructions: JsonObject = {"numpy": found[-1]} if found else {}
    threads: JsonObject = {}
    for library in threadpool_info():
        name = library["internal_api"]
        threads[name] = library["num_threads"]
        if "architecture" in library:
            instructions[name] = library["architecture"]
    return instructions, threads


@lru_cache(maxsize=1)
def environment() -> JsonObject:
    """Return Python's version and every installed package of this process."""
    packages = {
        d.metadata["Name"]: d.version
        for d in importlib.metadata.distributions()
        if d.metadata["Name"]
    }
    ordered = sorted(packages.items(), key=lambda package: package[0].lower())
    return {"python": platform.python_version(), "packages": dict(ordered)}


def process_alive(host: str, pid: int) -> bool:
    """Return whether a process of this machine still runs.

    The state of another machine's process is unknown, so it counts as running.
    """
    if host != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _git(folder: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    result = subprocess.run(
        [git, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    )  # nosec B603
    return result.stdout if result.returncode == 0 else None
