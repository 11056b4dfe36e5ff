"""Fixtures of the tests of the PyTorch trainers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Train on one core.

    Threads that wait for each other on a busy machine are slower by far, and nets are tiny.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
