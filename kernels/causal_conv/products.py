"""Many channels: one product in BLAS for each tap, shared by the compiled backends.

No columns are laid out.  All sequences lie behind each other, so a tap of shift s pairs row r of
the one side with row r - s of the other.  Where s reaches into the sequence before, forward and
dx leave the row out (``add``), and dW meets a row of zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backhand._types import Array

NARROW = (
    64  # channels up to which a loop without columns and copies beats BLAS (bench/causal_conv.py)
)


def is_narrow(W: Array) -> bool:
    return bool(max(W.shape[1:]) <= NARROW)


def forward(
    x: Array, W: Array, b: Array | None, dilation: int, activation: str, add: Callable[..., Any]
) -> Array:
    """y; add(y, v, shift, b, activation): y_t = f(y_t + v_{t - shift} + b) in place."""
    x, W = np.ascontiguousarray(x), np.ascontiguousarray(W)
    y = np.empty((*x.shape[:-1], W.shape[2]), x.dtype)
    np.matmul(_rows(x), W[0], out=_rows(y))
    shifts = _shifts(W, dilation, x)
    v = np.empty_like(y)
    for k, shift in enumerate(shifts[1:], 1):
        np.matmul(_rows(x), W[k], out=_rows(v))  # [causal_conv.1]
        if shift != shifts[-1]:
            add(y, v, shift, None, "identity")
    add(y, v if len(shifts) > 1 else None, shifts[-1], b, activation)  # [causal_conv.2]
    return y


def dx(da: Array, W: Array, dilation: int, add: Callable[..., Any]) -> Array:
    W = np.ascontiguousarray(W)
    made = np.empty((*da.shape[:-1], W.shape[1]), da.dtype)
    np.matmul(_rows(da), W[0].T, out=_rows(made))
    v = np.empty_like(made)
    for k, shift in enumerate(_shifts(W, dilation, da)[1:], 1):
        np.matmul(_rows(da), W[k].T, out=_rows(v))  # [causal_conv.5]
        add(made, v, -shift, None, "identity")
    return made


def dW(x: Array, da: Array, W: Array, dilation: int, writable: bool) -> Array:
    """``writable``: da is overwritten, and no copy made."""
    made = np.zeros(W.shape, x.dtype)
    x, shifts = _rows(x), _shifts(W, dilation, da)
    if len(shifts) > 1 and not writable:
        da = da.copy()
    rows = _rows(da)
    for k, shift in enumerate(shifts):
        if shift:
            da[..., :shift, :] = 0  # these steps meet what was before the first
        np.matmul(x[: len(x) - shift].T, rows[shift:], out=made[k])  # [causal_conv.6]
    return made


def _shifts(W: Array, dilation: int, x: Array) -> list[int]:
    """Of the taps that meet anything; the first is 0."""
    return [0, *(s for k in range(1, len(W)) if (s := k * dilation) < x.shape[-2])]


def _rows(x: Array) -> Array:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
