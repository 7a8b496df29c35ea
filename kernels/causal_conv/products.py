"""Many channels: one product in BLAS for each tap, shared by the compiled backends and CUDA.

No columns are laid out.  All sequences lie behind each other, so a tap of shift s pairs row r of
the one side with row r - s of the other.  Where s reaches into the sequence before, forward and
dx leave the row out (``add``), and dW meets a row of zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from backhand._types import Array
from backhand.numerics import xp_of

Add: TypeAlias = Callable[[Array, Array, int], None]  # (u, v, s): u_t += v_{t - s} in place
Finish: TypeAlias = Callable[[Array, Array | None, int], Array]
NARROW = 64  # channels up to which a loop without BLAS is faster (bench/causal_conv.py)


def is_narrow(W: Array) -> bool:
    return bool(max(W.shape[1:]) <= NARROW)


def forward(x: Array, W: Array, dilation: int, add: Add, finish: Finish) -> Array:
    """y; finish(u, v, shift) gives f(u_t + v_{t - shift} + b), in place or not; v may be None."""
    xp = xp_of(x)
    x, W = xp.ascontiguousarray(x), xp.ascontiguousarray(W)
    u = xp.empty((*x.shape[:-1], W.shape[2]), x.dtype)
    xp.matmul(_rows(x), W[0], out=_rows(u))
    shifts = _shifts(W, dilation, x)
    v = xp.empty_like(u)
    for k, shift in enumerate(shifts[1:], 1):
        xp.matmul(_rows(x), W[k], out=_rows(v))  # [causal_conv.1]
        if shift != shifts[-1]:
            add(u, v, shift)
    return finish(u, v if len(shifts) > 1 else None, shifts[-1])  # [causal_conv.2]


def dx(da: Array, W: Array, dilation: int, add: Add) -> Array:
    """Shifts of the other sign: ``add`` looks ahead."""
    xp = xp_of(da)
    W = xp.ascontiguousarray(W)
    made: Array = xp.empty((*da.shape[:-1], W.shape[1]), da.dtype)
    xp.matmul(_rows(da), W[0].T, out=_rows(made))
    v = xp.empty_like(made)
    for k, shift in enumerate(_shifts(W, dilation, da)[1:], 1):
        xp.matmul(_rows(da), W[k].T, out=_rows(v))  # [causal_conv.5]
        add(made, v, -shift)
    return made


def dW(x: Array, da: Array, W: Array, dilation: int, writable: bool) -> Array:
    """On the CPU.  ``writable``: da is overwritten, and no copy made."""
    made = np.zeros(W.shape, x.dtype)
    x, shifts, steps = np.ascontiguousarray(x), _shifts(W, dilation, da), x.shape[-2]
    if len(shifts) > 1 and not writable:
        da = da.copy()
    rows = _rows(da)
    for k, shift in enumerate(shifts):
        if shift:
            da[..., :shift, :] = 0  # these steps meet what was before the first
        past = _rows(x)[: len(rows) - shift]
        np.matmul(past.T, rows[shift:], out=made[k])  # [causal_conv.6]
        if shift and not np.isfinite(made[k]).all():  # zero times infinity, perhaps
            x = x.copy()
            x[..., steps - shift :, :] = 0
            np.matmul(_rows(x)[: len(rows) - shift].T, rows[shift:], out=made[k])
    return made


def _shifts(W: Array, dilation: int, x: Array) -> list[int]:
    """Of the taps that meet anything; the first is 0."""
    return [0, *(s for k in range(1, len(W)) if (s := k * dilation) < x.shape[-2])]


def _rows(x: Array) -> Array:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
