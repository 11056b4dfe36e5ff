"""The resource usage of a run.

It covers memory, processor time, GPU utilisation and energy, as far as the machine reports them.
"""

from __future__ import annotations

import resource
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mlops_assets.training.seeds import torch_loaded

if TYPE_CHECKING:
    from pynvml import c_nvmlDevice_t as Handle

SAMPLE_SECONDS = 1.0
# Intel's and AMD's energy counters; often only root may read them
_RAPL = Path("/sys/class/powercap")


class Usage:
    """The resource usage of a `with` block."""

    def __init__(self, gpus: int = 0) -> None:
        """Sample processor and memory, and the GPUs if the run has any."""
        self._gpus = gpus
        self._utilization: list[float] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin."""
        self._handles = _gpu_handles(self._gpus)
        self._cpu_before = _cpu_seconds()
        self._energy_before = _energy(self._handles)
        if self._handles:
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """End."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def document(self) -> dict[str, float]:
        """Return the usage so far, by name with unit, as far as the machine measures it."""
        found = {
            "peak_memory_bytes": float(_peak_memory()),
            "cpu_seconds": _cpu_seconds() - self._cpu_before,
        }
        if torch_loaded():
            import torch

            if torch.cuda.is_available() and torch.cuda.is_initialized():
                devices = range(torch.cuda.device_count())
                found["peak_gpu_memory_bytes"] = float(
                    max(torch.cuda.max_memory_allocated(device) for device in devices)
                )
        if self._utilization:
            found["gpu_utilization"] = sum(self._utilization) / len(self._utilization) / 100
        energy = _energy(self._handles)
        if energy is not None and self._energy_before is not None:
            found["energy_joules"] = energy - self._energy_before
        return {name: round(value, 3) for name, value in found.items()}

    def _sample(self) -> None:
        import pynvml

        while not self._ended.wait(SAMPLE_SECONDS):
            self._utilization += [
                float(pynvml.nvmlDeviceGetUtilizationRates(h).gpu) for h in self._handles
            ]


def _peak_memory() -> int:
    """Return the bytes of this process or of its largest child, whichever is more."""
    own, children = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return max(own, children) * (1 if sys.platform == "darwin" else 1024)


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def _gpu_handles(gpus: int) -> list[Handle]:
    """Return NVML's handles of the GPUs that this process sees; none without the extra `gpu`."""
    if not gpus:
        return []
    try:
        import pynvml
        import torch

        pynvml.nvmlInit()
        uuids = [
            str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())
        ]
        return [pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}") for uuid in uuids]
    except (ImportError, AttributeError, RuntimeError):
        return []
    except pynvml.NVMLError:
        return []


def _energy(handles: list[Handle]) -> float | None:
    """Return the joules that processors and GPUs have counted so far; None if neither counts."""
    counted: list[float] = []
    for counter in _RAPL.glob("*rapl:[0-9]/energy_uj"):
        try:
            counted.append(int(counter.read_text()) / 1e6)
        except (OSError, ValueError):
            continue
    if handles:
        import pynvml

        # older GPUs do not count
        with suppress(pynvml.NVMLError):
            counted += [
                pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3 for handle in handles
            ]
    return sum(counted) if counted else None
