"""Running out of memory, said in words that help: on which device, and with which batch size."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlops_assets.errors import TrainerError

_CPU_ALLOCATOR = (  # PyTorch's for the CPU, which complains in a plain RuntimeError
    "DefaultCPUAllocator"
)
_TOLD = "ran out of memory on"


@contextmanager
def explained_memory(parameters: Mapping[str, Any], device: str) -> Iterator[None]:
    """Turn an allocation that failed into a TrainerError that names device and batch size.

    Raises:
        TrainerError: in place of what NumPy, PyTorch or TensorFlow raise.
    """
    try:
        yield
    except Exception as error:
        if not _is_out_of_memory(error) or _TOLD in str(error):
            raise
        batch = parameters.get("batch_size")
        remedy = (
            f"batch_size is {batch}, halve it"
            if batch
            else "give it smaller batches or a smaller model"
        )
        if batch and "accumulate" in parameters:
            remedy += (
                f", set accumulate to {2 * int(parameters['accumulate'])} for the same step with"
                " less memory"
            )
        raise TrainerError(
            f"{_TOLD} {device}:"
            f" {str(error).splitlines()[0] if str(error) else type(error).__name__}; {remedy}, or"
            " raise compute.memory"
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    torch: Any = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (
        torch is not None and isinstance(error, torch.OutOfMemoryError)
    ):
        return True
    if isinstance(error, RuntimeError) and _CPU_ALLOCATOR in str(error):
        return True
    # TensorFlow's, which is not imported for this
    return type(error).__name__ == "ResourceExhaustedError"
