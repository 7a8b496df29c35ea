"""Gaussian filters in C++ (csrc/filterbank/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backhand._types import Array
from backhand.kernels.filterbank.reference import Saved

_native: Any = import_module("backhand._native").filterbank


def forward(
    head: Array, N: int, height: int, width: int, eps: float = 1e-8
) -> tuple[Array, Array, Array, Saved]:
    F_Y, F_X, gamma = _native.forward(head, N, height, width, eps)
    return F_Y, F_X, gamma, Saved(head, F_Y, F_X)


def backward(dF_Y: Array, dF_X: Array, dgamma: Array, saved: Saved) -> Array:
    return _native.backward(dF_Y, dF_X, dgamma, *saved)  # type: ignore[no-any-return]
