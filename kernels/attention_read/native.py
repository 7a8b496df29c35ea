"""Reading through Gaussian filters in C++ (csrc/attention_read/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backhand._types import Array
from backhand.kernels.attention_read.reference import Saved

_native: Any = import_module("backhand._native").attention_read


def forward(
    head: Array, x: Array, x_hat: Array | None, N: int, eps: float = 1e-8
) -> tuple[Array, Saved]:
    return _native.forward(head, x, x_hat, N, eps), Saved(head, x, x_hat, N, eps)


def backward(
    dr: Array, saved: Saved, need_x: bool = True, need_x_hat: bool = True
) -> tuple[Array, Array | None, Array | None]:
    return _native.backward(dr, *saved, need_x, need_x_hat)  # type: ignore[no-any-return]
