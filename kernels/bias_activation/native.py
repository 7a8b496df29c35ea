"""Bias and activation in C++ (csrc/bias_activation/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backhand._types import Array
from backhand.kernels.bias_activation.reference import ACTIVATIONS, Saved

_native: Any = import_module("backhand._native").bias_activation
NUMBER = {name: number for number, name in enumerate(ACTIVATIONS)}


def forward(a: Array, b: Array | None, activation: str) -> tuple[Array, Saved]:
    y: Array = _native.forward(a, b, NUMBER[activation])
    return y, Saved(y, activation, b is not None)


def backward(dy: Array, saved: Saved) -> tuple[Array, Array | None]:
    y, activation, has_bias = saved
    return _native.backward(dy, y, NUMBER[activation], has_bias)  # type: ignore[no-any-return]
