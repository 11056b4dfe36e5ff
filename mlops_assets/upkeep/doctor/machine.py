"""Checks of this machine: room on its disks, its GPUs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlops_assets.settings import Settings, onnx_provider
from mlops_assets.storage.stores import local_folder
from mlops_assets.upkeep.doctor.finding import WARNING, Finding

MIN_FREE_BYTES = 1 << 30  # a run keeps checkpoints, and a commit decoded samples


def examine_disks(settings: Settings) -> Iterator[Finding]:
    """Yield whether there is room in the folders that are written, once a file system.

    Args:
        settings: name the folders.
    """
    yield Finding(
        "cache", True, f"{settings.cache}: copies and decoded samples; delete it at any time"
    )
    folders = {
        "cache": settings.cache,
        "Dagster home": settings.dagster_home,
        "temporary files": Path(tempfile.gettempdir()),
    }
    if settings.workspace.startswith("file:"):
        folders["workspace"] = local_folder(settings.workspace)
    seen: dict[int, list[str]] = {}
    for name, folder in folders.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            seen.setdefault(folder.stat().st_dev, []).append(name)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            yield Finding(
                "disk",
                False,
                f"{folder} ({name}) cannot be written: {error.strerror}; free space, or mount a"
                " volume there that the user of this process may write",
            )
    for names in seen.values():
        free = shutil.disk_usage(folders[names[0]]).free
        yield Finding(
            "disk",
            free > MIN_FREE_BYTES,
            f"{free / 2**30:.1f} GiB free for {', '.join(names)}; commits and runs need 1 GiB",
        )


def examine_gpus(settings: Settings, wanted: Mapping[str, int]) -> Iterator[Finding]:
    """Yield whether this machine has the GPUs that models and prediction ask for.

    Args:
        settings: state where steps run.
        wanted: model → GPUs that its declaration asks for; models without any are left out.

    Raises:
        SettingsError: `MLOPS_ONNX_PROVIDER` is not one.
    """
    if onnx_provider() == "cuda":
        import onnxruntime

        has_provider = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        yield Finding(
            "GPU of predictions",
            has_provider,
            "onnxruntime has CUDA"
            if has_provider
            else "MLOPS_ONNX_PROVIDER=cuda, and onnxruntime has no CUDA: install onnxruntime-gpu in"
            " place of onnxruntime, or set it to cpu",
        )
    if not wanted:
        return
    asked = ", ".join(f"{name} {count}" for name, count in sorted(wanted.items()))
    if settings.executor == "k8s_job":
        yield Finding("GPUs", True, f"{asked}: pods of steps ask the cluster for them")
        return
    import torch

    present = torch.cuda.device_count()
    short = [name for name, count in wanted.items() if count > present]
    yield Finding(
        "GPUs",
        True,
        f"{WARNING if short else ''}{asked}; this machine has {present}"
        + (", and trains on what it has: run them where there are more" if short else ""),
    )
