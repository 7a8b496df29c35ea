"""Linear layer and softmax cross-entropy: C++ between the products (csrc/linear_cross_entropy)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.linear_cross_entropy.reference import Saved, backward_with, forward_with

_native: Any = import_module("backhand._native").linear_cross_entropy


def forward(h: Array, W: Array, b: Array, targets: Array) -> tuple[Array, Saved]:
    return forward_with(_absorb, h, W, b, targets)


def backward(d_nll: Array, saved: Saved, need_W: bool = True) -> tuple[Array, Array | None, Array]:
    return backward_with(_gradient, d_nll, saved, need_W)


def _absorb(x: Array, b: Array, targets: Array, top: Array, total: Array, picked: Array) -> None:
    _native.absorb(x, b, targets.astype(np.int64), top, total, picked)


def _gradient(x: Array, b: Array, targets: Array, top: Array, total: Array, d_nll: Array) -> Array:
    return _native.gradient(x, b, targets.astype(np.int64), top, total, d_nll)  # type: ignore[no-any-return]
