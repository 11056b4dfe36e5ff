"""Environments of peers, whose pins are their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import ROOT


def install_peer(name: str) -> Path:
    """Make the environment of a peer if needed, and return its folder of programs.

    Its pins are in `<name>-requirements.txt`.
    """
    requirements = ROOT / "benchmarks" / f"{name}-requirements.txt"
    environment = ROOT / ".venv-peers" / name
    programs = environment / "bin"
    done = environment / "installed.txt"
    if not done.exists() or done.read_text() != requirements.read_text():
        print(f"making the environment of {name} (a minute, once) ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        pip = [
            str(programs / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        subprocess.run([*pip, "--requirement", str(requirements)], check=True)
        shutil.copyfile(requirements, done)
    return programs
