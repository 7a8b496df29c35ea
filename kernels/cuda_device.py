"""The engine behind ``cuda``: csrc/*/kernel.cu, compiled by NVRTC through CuPy at first use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from backhand.csrc import sources

# CuPy adds the architecture and --device-as-default-execution-space.
OPTIONS = ("--std=c++17",)


@cache
def module(op: str, real: str, device: int) -> Any:
    """The kernels of an op for float or double, on the current device, which has this number."""
    cupy = import_module("cupy")
    options = (*OPTIONS, f"-DBH_REAL={real}")
    return cupy.RawModule(code=sources.text_for_nvrtc(op), options=options, backend="nvrtc")


@cache
def _function(op: str, kernel: str, real: str, device: int) -> Any:
    return module(op, real, device).get_function(kernel)


def launch(
    op: str, kernel: str, real: str, grid: tuple[int, ...], block: tuple[int, ...], shared: int,
    arguments: Sequence[Any], device: int,
) -> None:  # fmt: skip
    """On the device of the arrays, in its current stream; CuPy raises where CUDA refuses."""
    cupy = import_module("cupy")
    values = [np.uintp(0) if a is None else a for a in arguments]  # a null pointer
    with cupy.cuda.Device(device):
        _function(op, kernel, real, device)(grid, block, tuple(values), shared_mem=shared)


def warm_up() -> list[str]:
    """Compile every kernel for float and double on the current device; their names."""
    cupy = import_module("cupy")
    device = int(cupy.cuda.runtime.getDevice())
    done = []
    for op in sources.ops():
        for real in sources.REALS:
            module(op, real, device).compile()
            done += [f"{name} {real}" for name in sources.kernels(op)]
    return done
