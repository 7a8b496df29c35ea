"""The bound of K importance weights in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.importance_weights.reference import Saved
from backhand.kernels.numba_math import exp_below, log
from backhand.kernels.numba_tools import jit, over_rows

FORWARD, BACKWARD = 0.5e-9, 0.4e-9  # seconds for one number
COLUMNS, ROWS = 256, 64  # that are taken together


def forward(log_w: Array, estimator: str) -> tuple[Array, Saved]:
    K, B = log_w.shape
    bound, top, total = np.empty((3, B), log_w.dtype)
    over_rows(_forward, B, FORWARD * K, bound, top, total, np.ascontiguousarray(log_w))
    return bound, Saved(log_w, top, total, estimator)


def backward(d_bound: Array, saved: Saved) -> Array:
    log_w = np.ascontiguousarray(saved.log_w)
    d_log_w = np.empty_like(log_w)
    over_rows(
        _backward, len(log_w), BACKWARD * log_w.shape[1], d_log_w, np.ascontiguousarray(d_bound),
        log_w, saved.top, saved.total, saved.estimator == "dreg",
    )  # fmt: skip
    return d_log_w


def weights(saved: Saved) -> Array:
    return backward(np.ones_like(saved.total), saved._replace(estimator="iwae"))


@jit
def _forward(begin: int, end: int, bound: Any, top: Any, total: Any, log_w: Any) -> None:
    K, zero = len(log_w), log_w.dtype.type(0)
    for first in range(begin, end, COLUMNS):
        n = min(end - first, COLUMNS)
        largest = np.full(n, -np.inf, log_w.dtype)
        t, old, part = np.zeros_like(largest), np.empty_like(largest), np.empty_like(largest)
        sums = np.zeros(n)
        for start in range(0, K, ROWS):
            stop = min(K, start + ROWS)
            old[:] = largest
            _largest(largest, log_w, start, stop, first)
            for j in range(n):
                t[j] = largest[j] if largest[j] - largest[j] == zero else zero
            part[:] = zero
            _add(part, log_w, t, start, stop, first)
            for j in range(n):
                smaller = exp_below(old[j] - t[j])
                sums[j] = sums[j] * smaller + part[j]  # [importance_weights.1]
        for j in range(n):
            at = first + j
            top[at], total[at] = t[j], sums[j]
            bound[at] = t[j] + log(total[at] / log_w.dtype.type(K))  # [importance_weights.2]
            if not np.isfinite(total[at]):
                total[at], bound[at] = np.nan, np.inf
                for k in range(K):
                    if log_w[k, at] != log_w[k, at]:
                        bound[at] = np.nan


# As functions of their own, over contiguous rows, two or four together, the loops vectorise.


@jit
def _largest(largest: Any, log_w: Any, start: int, stop: int, first: int) -> None:
    end, last = first + len(largest), stop - 1
    for k in range(start, stop, 4):
        a, b = log_w[k][first:end], log_w[min(k + 1, last)][first:end]
        c, d = log_w[min(k + 2, last)][first:end], log_w[min(k + 3, last)][first:end]
        for j in range(len(largest)):
            most = largest[j]
            most = a[j] if a[j] > most else most
            most = b[j] if b[j] > most else most
            most = c[j] if c[j] > most else most
            largest[j] = d[j] if d[j] > most else most


@jit
def _add(part: Any, log_w: Any, t: Any, start: int, stop: int, first: int) -> None:
    for k in range(start, stop):
        row = log_w[k][first : first + len(part)]
        for j in range(len(part)):
            part[j] += exp_below(row[j] - t[j])


@jit
def _backward(
    begin: int, end: int, d_log_w: Any, d_bound: Any, log_w: Any, top: Any, total: Any, dreg: bool
) -> None:
    one, scale = log_w.dtype.type(1), np.empty_like(total)
    for j in range(len(total)):
        scale[j] = total[j] if total[j] == 0 else one / total[j]
    for k in range(begin, end):
        row, out = log_w[k], d_log_w[k]
        if dreg:
            for j in range(len(top)):
                w = exp_below(row[j] - top[j]) * scale[j]
                out[j] = w * (w * d_bound[j])  # [importance_weights.6]
        else:
            for j in range(len(top)):
                w = exp_below(row[j] - top[j]) * scale[j]
                out[j] = w * d_bound[j]  # [importance_weights.5]
