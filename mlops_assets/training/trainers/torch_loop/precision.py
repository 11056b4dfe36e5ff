"""Number formats: 16-bit arithmetic, and the memory layout of images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mlops_assets.training.trainers.torch_loop.parameters import Choice


class Precision:
    """Arithmetic and layout of one device."""

    def __init__(self, device: str, mixed: Choice, channels_last: Choice = "never") -> None:
        """Resolve `auto`, which means both on GPUs only.

        Args:
            device: `cpu` or `cuda:N`.
            mixed: whether to use bfloat16, or float16 on GPUs that lack it.
            channels_last: whether images are laid out with their channels last.
        """
        self._kind = device.partition(":")[0]
        gpu = self._kind == "cuda"
        self.mixed = mixed == "always" or (mixed == "auto" and gpu)
        self.channels_last = channels_last == "always" or (channels_last == "auto" and gpu)
        self._type = torch.bfloat16 if not gpu or torch.cuda.is_bf16_supported() else torch.float16

    def autocast(self) -> torch.autocast:
        """Return the context that computes in 16 bits where that is safe, if mixed."""
        return torch.autocast(self._kind, dtype=self._type, enabled=self.mixed)

    def scaler(self) -> torch.amp.GradScaler:
        """Return the scaler that keeps small gradients from vanishing.

        Only float16 needs it; otherwise it does nothing.
        """
        return torch.amp.GradScaler(self._kind, enabled=self.mixed and self._type == torch.float16)

    def laid_out(self, samples: Tensor) -> Tensor:
        """Return samples (n, bands, height, width) in the memory layout of the device."""
        if not self.channels_last:
            return samples
        return samples.contiguous(memory_format=torch.channels_last)

    def lay_out(self, network: nn.Module) -> None:
        """Bring the weights of a network into the memory layout of the device."""
        if self.channels_last:
            set_memory_format(network, torch.channels_last)


def set_memory_format(network: nn.Module, memory_format: torch.memory_format) -> None:
    """Bring the weights of a network into a memory layout."""
    # PyTorch's type of Module.to leaves this option out
    options: dict[str, Any] = {"memory_format": memory_format}
    network.to(**options)
