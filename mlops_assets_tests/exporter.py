"""PyTorch's ONNX exporter, set up once for all tests that export."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def tables_of_the_exporter() -> Iterator[None]:
    """Build the tables of PyTorch's ONNX exporter once, not at each export.

    They are the most of its time.

    They hold the operators of PyTorch and how ONNX expresses them, and no test registers one of its
    own.
    """
    from torch._export import utils
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            utils, "_materialize_cpp_cia_ops", functools.cache(utils._materialize_cpp_cia_ops)
        )
        patch.setattr(
            ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib))
        )
        yield
