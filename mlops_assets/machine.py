"""Facts of the machine that a process runs on."""

from __future__ import annotations

import platform
from pathlib import Path

_CPUS = Path("/proc/cpuinfo")


def cpu_name() -> str:
    """Return the name of the processor, empty if the system does not report it."""
    if _CPUS.exists():
        for line in _CPUS.read_text(errors="replace").splitlines():
            label, _, value = line.partition(":")
            if label.strip() == "model name":
                return value.strip()
    return platform.processor()
