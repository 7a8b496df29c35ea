"""Writing through Gaussian filters in C++ (csrc/attention_write/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backhand._types import Array
from backhand.kernels.attention_write.reference import Saved

_native: Any = import_module("backhand._native").attention_write


def forward(
    head: Array, w: Array, height: int, width: int, eps: float = 1e-8
) -> tuple[Array, Saved]:
    return _native.forward(head, w, height, width, eps), Saved(head, w, height, width, eps)


def backward(dc: Array, saved: Saved) -> tuple[Array, Array]:
    return _native.backward(dc, *saved)  # type: ignore[no-any-return]
