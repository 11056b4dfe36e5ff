"""Number formats: 16-bit arithmetic, and the memory layout of images."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from mlops_assets.training.trainers.torch_loop.parameters import Choice


class Precision:
    """Arithmetic and layout of one device."""

    def __init__(self, device: str, mixed: Choice, channels_last: Choice = "never") -> None:
        """Decide what `auto` means: both on GPUs only.

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

    def autocast(self) -> AbstractContextManager[Any]:
        """Use 16 bits where it is safe, if it is wanted."""
        return torch.autocast(self._kind, dtype=self._type, enabled=self.mixed)

    def scaler(self) -> Any:
        """Return what keeps small gradients from vanishing.

        Only float16 needs it, else it does nothing.
        """
        return torch.amp.GradScaler(self._kind, enabled=self.mixed and self._type == torch.float16)

    def laid_out(self, samples: Any) -> Any:
        """Return samples, or a network, laid out for the device."""
        if not self.channels_last:
            return samples
        if isinstance(samples, Tensor):
            return samples.contiguous(memory_format=torch.channels_last)
        return samples.to(memory_format=torch.channels_last)
