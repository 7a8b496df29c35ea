"""The products of a layer in C++ (csrc/matrix_product/cpu.cpp) where that is faster than BLAS."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.matrix_product import reference
from backhand.kernels.matrix_product.reference import Packed, Saved, plain
from backhand.numerics import as_rows
from backhand.threads import FEW_ROWS, blas_has_one_thread

_module: Any = import_module("backhand._native")
_native = _module.matrix_product
_threads = _module.threads.get

# Rows up to which one thread is faster than OpenBLAS with several: at 50 rows by 5 to 30 %, at 100
# about as fast.  Where BLAS has one thread ours are as fast at any number of rows, and a network's
# are one call.
ROWS = 64


def ours(x: Array) -> bool:
    few: bool = x.size <= x.shape[-1] * ROWS
    return few or _threads() > 1 or blas_has_one_thread()


def forward(x: Array, W: Array) -> tuple[Array, Saved]:
    return times(x, W), Saved(x, W)


def backward(dy: Array, saved: Saved) -> tuple[Array, Array]:
    return times_transposed(dy, saved.W), outer(saved.x, dy, None)


def packed(W: Array) -> Array | Packed:
    if not blas_has_one_thread():  # several threads of BLAS gain more than packing
        return W
    return Packed(W, _native.pack(W, False), _native.pack(W, True))


def times(x: Array, W: Array | Packed) -> Array:
    if isinstance(W, Packed) and _few(x):
        return _native.times_packed(x, W.panels, W.W.shape[1])  # type: ignore[no-any-return]
    return _native.times(x, plain(W)) if ours(x) else reference.times(x, W)


def times_transposed(dy: Array, W: Array | Packed) -> Array:
    if isinstance(W, Packed) and _few(dy):
        return _native.times_packed(dy, W.transposed, W.W.shape[0])  # type: ignore[no-any-return]
    if ours(dy):
        return _native.times_transposed(dy, plain(W))  # type: ignore[no-any-return]
    return reference.times_transposed(dy, W)


def _few(x: Array) -> bool:
    few: bool = x.size <= x.shape[-1] * FEW_ROWS
    return few


def outer(x: Array, dy: Array, out: Array | None) -> Array:
    if out is None:
        out = np.empty((x.shape[-1], dy.shape[-1]), dy.dtype)
    if ours(x):
        _native.outer(x, dy, out)
    else:
        np.matmul(as_rows(x).T, as_rows(dy), out=out)
    return out
