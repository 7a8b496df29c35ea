"""The bound of K importance weights: NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from backhand._types import Array
from backhand.numerics import sum_rows, xp_of

ESTIMATORS = ("iwae", "stl", "dreg")


class Saved(NamedTuple):
    log_w: Array  # (K, B)
    top: Array  # (B,) real: the largest log weight, 0 where it is not finite
    total: Array  # (B,) sum of exp(log_w - top); NaN where it is not finite
    estimator: str


def forward(log_w: Array, estimator: str) -> tuple[Array, Saved]:
    xp = xp_of(log_w)
    top = xp.max(log_w.real, axis=0)  # (B,)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    with np.errstate(all="ignore"):  # columns of infinities and NaN
        e = xp.exp(log_w - top)  # (K, B)
        total = sum_rows(e)  # (B,) [importance_weights.1]
        bound = top + xp.log(total / total.dtype.type(len(log_w)))  # [importance_weights.2]
        total = xp.where(xp.isfinite(total), total, total.dtype.type(np.nan))
    return bound, Saved(log_w, top, total, estimator)


def backward(d_bound: Array, saved: Saved) -> Array:
    w = weights(saved)  # (K, B)
    d_log_w: Array = w * d_bound  # [importance_weights.5]
    if saved.estimator == "dreg":
        d_log_w = w * d_log_w  # [importance_weights.6]
    return d_log_w


def weights(saved: Saved) -> Array:
    xp, total = xp_of(saved.total), saved.total
    with np.errstate(all="ignore"):
        e = xp.exp(saved.log_w - saved.top)
        w: Array = xp.where(total == 0, total, e / total)  # [importance_weights.3]
        return w


def ess(w: Array) -> Array:
    """Of normalised weights (K, B)."""
    xp, squares = xp_of(w), sum_rows(w * w)
    with np.errstate(divide="ignore"):
        size: Array = xp.where(squares == 0, squares, 1 / squares)  # [importance_weights.4]
    return size
