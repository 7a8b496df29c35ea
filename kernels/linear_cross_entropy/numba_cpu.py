"""Linear layer and softmax cross-entropy: Numba between the products."""

from __future__ import annotations

from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.linear_cross_entropy.reference import Saved, backward_with, forward_with
from backhand.kernels.numba_math import exp
from backhand.kernels.numba_tools import jit, over_rows, sum_rows
from backhand.kernels.softmax_cross_entropy.numba_cpu import row_top, row_total

ABSORB, GRADIENT = 0.7e-9, 0.7e-9  # seconds for one logit


def forward(h: Array, W: Array, b: Array, targets: Array) -> tuple[Array, Saved]:
    return forward_with(_absorb, h, W, b, targets)


def backward(d_nll: Array, saved: Saved, need_W: bool = True) -> tuple[Array, Array | None, Array]:
    return backward_with(_gradient, d_nll, saved, need_W)


def _absorb(x: Array, b: Array, targets: Array, top: Array, total: Array, picked: Array) -> None:
    t = targets.astype(np.int64)
    over_rows(_absorb_rows, len(x), ABSORB * x.shape[1], x, b, t, top, total, picked)


def _gradient(x: Array, b: Array, targets: Array, top: Array, total: Array, d_nll: Array) -> Array:
    t = targets.astype(np.int64)
    over_rows(_gradient_rows, len(x), GRADIENT * x.shape[1], x, b, t, top, total, d_nll)
    return sum_rows(x)  # [linear_cross_entropy.7]


@jit
def _absorb_rows(
    begin: int, end: int, x: Any, b: Any, targets: Any, top: Any, total: Any, picked: Any
) -> None:
    zero = x.dtype.type(0)
    for r in range(begin, end):
        x_r, old = x[r], top[r]
        for i in range(len(x_r)):
            x_r[i] += b[i]  # [linear_cross_entropy.1] in place: the block is made for this
        top[r] = max(old, row_top(x_r))
        shift = zero if top[r] == -np.inf else top[r]
        total[r] = total[r] * exp(old - shift) + row_total(x_r, shift)  # [linear_cross_entropy.2]
        if 0 <= targets[r] < len(x_r):
            picked[r] = x_r[targets[r]]


@jit
def _gradient_rows(
    begin: int, end: int, x: Any, b: Any, targets: Any, top: Any, total: Any, d: Any
) -> None:
    for r in range(begin, end):
        x_r, top_r, share = x[r], top[r], d[r] / total[r]
        for i in range(len(x_r)):
            x_r[i] = exp(x_r[i] + b[i] - top_r) * share  # [linear_cross_entropy.4]
        if 0 <= targets[r] < len(x_r):
            x_r[targets[r]] -= d[r]
