"""A layer in C++ (bindings/dense.cpp) where our products are faster than those of BLAS."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backhand._types import Array
from backhand.kernels.bias_activation import native as elementwise
from backhand.kernels.bias_activation.native import NUMBER
from backhand.kernels.dense.composed import composed
from backhand.kernels.dense.reference import Saved
from backhand.kernels.matrix_product.native import ours

_native: Any = import_module("backhand._native").dense
_forward, _backward = composed(elementwise)


def forward(x: Array, W: Array, b: Array, activation: str) -> tuple[Array, Saved]:
    if not ours(x):
        return _forward(x, W, b, activation)  # type: ignore[no-any-return]
    y = _native.forward(x, W, b, NUMBER[activation])
    return y, Saved(x, W, y, activation)


def backward(
    dy: Array, saved: Saved, dW: Array | None = None, db: Array | None = None, need_x: bool = True
) -> tuple[Array | None, Array, Array]:
    x, W, y, activation = saved
    if not ours(x):
        return _backward(dy, saved, dW, db, need_x)  # type: ignore[no-any-return]
    return _native.backward(dy, x, W, y, NUMBER[activation], dW, db, need_x)  # type: ignore[no-any-return]
