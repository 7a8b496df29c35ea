"""Linear layer and softmax cross-entropy in blocks: NumPy, and the loop of the other backends.

A backend gives the two functions between the products, ``absorb`` and ``gradient``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from backhand._types import Array
from backhand.numerics import sum_rows, xp_of

# Of a block of logits.  Products of such blocks run at the speed of whole ones (within 5 %, from
# 512 x 512 up to all rows x 1024), and a block of float32 has 4 MiB.
ROWS, COLUMNS = 1024, 1024


class Saved(NamedTuple):
    h: Array  # (..., H)
    W: Array  # (H, V)
    b: Array  # (V,)
    targets: Array  # (...)
    top: Array  # (...) real: the largest logit
    total: Array  # (...) sum of exp(logits - top)


def forward(h: Array, W: Array, b: Array, targets: Array) -> tuple[Array, Saved]:
    return forward_with(absorb, h, W, b, targets)


def backward(d_nll: Array, saved: Saved, need_W: bool = True) -> tuple[Array, Array | None, Array]:
    return backward_with(gradient, d_nll, saved, need_W)


def absorb(x: Array, b: Array, targets: Array, top: Array, total: Array, picked: Array) -> None:
    """A block x (R, C), without b (C,), into what its rows have met; targets count from C's first.

    top, total and picked (R,) are written.
    """
    xp = xp_of(x)
    x = x + b
    old = top.copy()
    with np.errstate(invalid="ignore"):
        xp.maximum(old, xp.max(x.real, axis=1), out=top)
        shift = xp.where(top == -np.inf, xp.zeros_like(top), top)
        total *= xp.exp(old - shift)
        total += xp.exp(x - shift[:, None]).sum(axis=1)  # [linear_cross_entropy.2]
    here = xp.flatnonzero((targets >= 0) & (targets < x.shape[1]))
    picked[here] = x[here, targets[here]]


def gradient(x: Array, b: Array, targets: Array, top: Array, total: Array, d_nll: Array) -> Array:
    """The gradient of a block takes the place of x (R, C); its sum over rows (C,)."""
    xp = xp_of(x)
    with np.errstate(invalid="ignore", divide="ignore"):
        x += b
        x -= top[:, None]
        xp.exp(x, out=x)
        x *= (d_nll / total)[:, None]
    here = xp.flatnonzero((targets >= 0) & (targets < x.shape[1]))
    x[here, targets[here]] -= d_nll[here]  # [linear_cross_entropy.4]
    return sum_rows(x)


def forward_with(
    absorb: Callable[..., None], h: Array, W: Array, b: Array, targets: Array
) -> tuple[Array, Saved]:
    xp, dtype = xp_of(h), xp_of(h).result_type(h, W, b)
    rows, t = _flat(h, targets)  # (N, H), (N,)
    top = xp.full(len(rows), -np.inf, W.real.dtype)
    total, picked = xp.zeros((2, len(rows)), dtype)
    logits = _Product(xp, dtype)
    for C in _ranges(W.shape[1], COLUMNS):
        for R in _ranges(len(rows), ROWS):
            x = logits(rows[R], W[:, C])  # [linear_cross_entropy.1]
            absorb(x, b[C], t[R] - C.start, top[R], total[R], picked[R])
    with np.errstate(invalid="ignore", divide="ignore"):  # rows without a distribution: NaN
        nll = xp.log(total) - (picked - top)  # [linear_cross_entropy.3]
    top, total, nll = (y.reshape(targets.shape) for y in (top, total, nll))
    return nll, Saved(h, W, b, targets, top, total)


def backward_with(
    gradient: Callable[..., Array], d_nll: Array, saved: Saved, need_W: bool
) -> tuple[Array, Array | None, Array]:
    h, W, b, targets, top, total = saved
    xp, dtype = xp_of(h), xp_of(h).result_type(h, W, b, d_nll)
    rows, t = _flat(h, targets)  # (N, H), (N,)
    top, total, d = (y.reshape(-1) for y in (top, total, d_nll))  # (N,)
    dh, db = xp.zeros(rows.shape, dtype), xp.zeros(W.shape[1], dtype)
    dW = xp.zeros(W.shape, dtype) if need_W else None
    logits, part, panel = (_Product(xp, dtype) for _ in range(3))
    for C in _ranges(W.shape[1], COLUMNS):
        for R in _ranges(len(rows), ROWS):
            x = logits(rows[R], W[:, C])
            sums = gradient(x, b[C], t[R] - C.start, top[R], total[R], d[R])  # (C,)
            db[C] += sums  # [linear_cross_entropy.7]
            dh[R] += part(x, W[:, C].T)  # [linear_cross_entropy.5]
            if dW is not None:
                dW[:, C] += panel(rows[R].T, x)  # [linear_cross_entropy.6]
    return dh.reshape(h.shape), dW, db


class _Product:
    """Products of one size after another in the same memory."""

    def __init__(self, xp: Any, dtype: Any) -> None:
        self.xp = xp
        self.memory = xp.empty(0, dtype)

    def __call__(self, a: Array, b: Array) -> Array:
        shape = len(a), b.shape[1]
        if self.memory.size < math.prod(shape):
            self.memory = self.xp.empty(math.prod(shape), self.memory.dtype)
        out = self.memory[: math.prod(shape)].reshape(shape)
        return self.xp.matmul(a, b, out=out)  # type: ignore[no-any-return]


def _flat(h: Array, targets: Array) -> tuple[Array, Array]:
    """Leading axes as one: (N, H), (N,)."""
    return h.reshape(targets.size, h.shape[-1]), targets.reshape(-1)


def _ranges(n: int, width: int) -> Iterator[slice]:
    for start in range(0, n, width):
        yield slice(start, min(start + width, n))
