"""Errors for running out of memory that name the device and the batch size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlops_assets.errors import TrainerError
from mlops_assets.training.seeds import torch_loaded

# PyTorch's for the CPU, which raises a plain RuntimeError
_CPU_ALLOCATOR = "DefaultCPUAllocator"
_MESSAGE = "ran out of memory on"


@contextmanager
def explained_memory(parameters: Mapping[str, object], device: str) -> Iterator[None]:
    """Turn an allocation that failed into a TrainerError that names device and batch size.

    Args:
        parameters: of the trainer; the error names `batch_size` and `accumulate` if they are there.
        device: where the model is trained.

    Raises:
        TrainerError: in place of what NumPy, PyTorch or TensorFlow raise.
    """
    try:
        yield
    except Exception as error:
        if not _is_out_of_memory(error) or _MESSAGE in str(error):
            raise
        batch = parameters.get("batch_size")
        remedy = (
            f"batch_size is {batch}, halve it"
            if batch
            else "use smaller batches or a smaller model"
        )
        accumulate = parameters.get("accumulate")
        if batch and isinstance(accumulate, int):
            remedy += f", set accumulate to {2 * accumulate} for the same step with less memory"
        raise TrainerError(
            f"{_MESSAGE} {device}:"
            f" {str(error).splitlines()[0] if str(error) else type(error).__name__}; {remedy}, or"
            " raise compute.memory"
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    if torch_loaded():
        import torch

        if isinstance(error, torch.OutOfMemoryError):
            return True
    if isinstance(error, RuntimeError) and _CPU_ALLOCATOR in str(error):
        return True
    # TensorFlow's, which is not imported for this
    return type(error).__name__ == "ResourceExhaustedError"
