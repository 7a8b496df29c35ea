"""Bernoulli log-likelihood from logits in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.bernoulli_logits.reference import Saved
from backhand.kernels.numba_math import exp_below, log, sigmoid
from backhand.kernels.numba_tools import BLOCK, as_rows, jit, over_rows

FORWARD, BACKWARD = 0.6e-9, 0.7e-9  # seconds for one element
FACTORS = 96  # in (1, 2], multiplied before a logarithm is taken of their product


def forward(x: Array, logits: Array) -> tuple[Array, Saved]:
    data, rows_l = as_rows(x), as_rows(logits)
    logp = np.empty(len(rows_l), rows_l.dtype)
    over_rows(_forward, len(rows_l), FORWARD * rows_l.shape[1], logp, data, rows_l)
    return logp.reshape(logits.shape[:-1]), Saved(x, logits)


def backward(d_logp: Array, saved: Saved, need_x: bool) -> tuple[Array | None, Array]:
    x, logits = saved
    data, rows_l = as_rows(x), as_rows(logits)
    rows, cols = data.shape
    samples = len(rows_l) // rows if rows else 0
    d_logits = np.empty_like(rows_l)
    dx = np.zeros_like(data) if need_x else None
    to_x = (
        data if dx is None else dx
    )  # Numba wants an array: it is not touched where need_x is false
    d = np.ascontiguousarray(d_logp).reshape(-1)
    seconds = BACKWARD * samples * cols
    over_rows(_backward, rows, seconds, to_x, d_logits, d, data, rows_l, samples, need_x)
    return None if dx is None else dx.reshape(x.shape), d_logits.reshape(logits.shape)


@jit
def _forward(begin: int, end: int, logp: Any, x: Any, logits: Any) -> None:
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for r in range(begin, end):
        row, nats = r % len(x), 0.0
        for start in range(0, x.shape[1], FACTORS):
            block = slice(start, start + FACTORS)
            x_b, l_b = x[row, block], logits[r, block]
            total, product = zero, one
            for i in range(len(x_b)):
                total += x_b[i] * l_b[i] - max(l_b[i], zero)
                product *= one + exp_below(-abs(l_b[i]))
            nats += total - log(product)  # [bernoulli_logits.1]
        logp[r] = nats


@jit
def _backward(
    begin: int, end: int, dx: Any, d_logits: Any, d: Any, x: Any, logits: Any, samples: int,
    need_x: bool,
) -> None:  # fmt: skip
    total = np.empty(x.shape[1])
    for r in range(begin, end):
        x_r, dx_r = x[r], dx[r]
        if samples > BLOCK:
            total[:] = 0
        for start in range(0, samples, BLOCK):
            if need_x:
                dx_r[:] = 0
            for k in range(start, min(start + BLOCK, samples)):
                at = k * len(x) + r
                l_r, dl_r, d_r = logits[at], d_logits[at], d[at]
                for i in range(len(x_r)):
                    dl_r[i] = d_r * (x_r[i] - sigmoid(l_r[i]))  # [bernoulli_logits.2]
                if need_x:
                    for i in range(len(x_r)):
                        dx_r[i] += d_r * l_r[i]  # [bernoulli_logits.3]
            if need_x and samples > BLOCK:
                for i in range(len(x_r)):
                    total[i] += dx_r[i]
        if need_x and samples > BLOCK:
            for i in range(len(x_r)):
                dx_r[i] = total[i]
