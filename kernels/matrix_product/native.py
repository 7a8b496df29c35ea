"""The products of a layer in C++ (csrc/matrix_product/cpu.cpp) where that is faster than BLAS."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.matrix_product import reference
from backhand.kernels.matrix_product.reference import Saved
from backhand.numerics import as_rows

_module: Any = import_module("backhand._native")
_native = _module.matrix_product
_threads = _module.threads.get

# Rows up to which one thread is at least as fast as OpenBLAS's.  Where our pool has several, BLAS
# has one: they are faster at any number of rows.  Figures: backhand bench matrix_product_20 ...
ROWS = 32


def ours(x: Array) -> bool:
    several: bool = _threads() > 1
    return several or x.size <= x.shape[-1] * ROWS


def forward(x: Array, W: Array) -> tuple[Array, Saved]:
    return times(x, W), Saved(x, W)


def backward(dy: Array, saved: Saved) -> tuple[Array, Array]:
    return times_transposed(dy, saved.W), outer(saved.x, dy, None)


def times(x: Array, W: Array) -> Array:
    return _native.times(x, W) if ours(x) else reference.times(x, W)


def times_transposed(dy: Array, W: Array) -> Array:
    return _native.times_transposed(dy, W) if ours(dy) else reference.times_transposed(dy, W)


def outer(x: Array, dy: Array, out: Array | None) -> Array:
    if out is None:
        out = np.empty((x.shape[-1], dy.shape[-1]), dy.dtype)
    if ours(x):
        _native.outer(x, dy, out)
    else:
        np.matmul(as_rows(x).T, as_rows(dy), out=out)
    return out
