"""Causal convolution in Numba, around products in BLAS also with few channels.

A jitted loop keeps no tile of sums in registers, as the one in C++ does.  At 32 channels the
products and the passes between them take 1.4 times as long as that for one sequence of 16,000 and
2.3 times for eight, which leave the cache between two passes (one thread).  On two threads it was
2.6 and 3.1 times: the products stay on BLAS's one thread, only the additions are shared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.bias_activation import numba_cpu as bias_activation
from backhand.kernels.bias_activation.reference import Saved as BiasSaved
from backhand.kernels.causal_conv import products
from backhand.kernels.causal_conv.reference import Saved
from backhand.kernels.numba_tools import as_rows, jit, over_rows, sum_rows

SECONDS = 0.2e-9  # for one addition


def forward(
    x: Array, W: Array, b: Array | None, dilation: int, activation: str
) -> tuple[Array, Saved]:
    def finish(u: Array, v: Array | None, shift: int) -> Array:
        if v is not None:
            _add(u, v, shift)
        plain = b is None and activation == "identity"
        return u if plain else bias_activation.forward(u, b, activation)[0]

    y = products.forward(x, W, dilation, _add, finish)
    return y, Saved(x, W, y, dilation, activation, b is not None)


def backward(
    dy: Array, saved: Saved, need_x: bool = True, need_W: bool = True
) -> tuple[Array | None, Array | None, Array | None]:
    x, W, y, dilation, activation, has_bias = saved
    if activation == "identity":
        da = np.ascontiguousarray(dy)
        db = sum_rows(as_rows(da)) if has_bias else None
    else:
        da, db = bias_activation.backward(dy, BiasSaved(y, activation, has_bias))
    dx = products.dx(da, W, dilation, _add) if need_x else None
    dW = products.dW(x, da, W, dilation, activation != "identity") if need_W else None
    return dx, dW, db


def _add(u: Array, v: Array, shift: int) -> None:
    rows, steps = as_rows(u), u.shape[-2]
    over_rows(_add_rows, len(rows), SECONDS * rows.shape[1], rows, as_rows(v), shift, steps)


@jit
def _add_rows(begin: int, end: int, u: Any, v: Any, shift: int, steps: int) -> None:
    for r in range(begin, end):
        t = r % steps - shift
        if t >= 0 and t < steps:
            for i in range(u.shape[1]):
                u[r, i] += v[r - shift, i]
