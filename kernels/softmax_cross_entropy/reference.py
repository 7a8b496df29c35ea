"""Softmax cross-entropy: NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from backhand._types import Array
from backhand.numerics import xp_of


class Saved(NamedTuple):
    logits: Array  # (..., V)
    targets: Array  # (...)
    top: Array  # (...) real: the largest logit
    total: Array  # (...) sum of exp(logits - top)


def forward(logits: Array, targets: Array) -> tuple[Array, Saved]:
    xp, at = xp_of(logits), targets[..., None]
    with np.errstate(invalid="ignore"):  # rows without a distribution become NaN
        top = xp.max(logits.real, axis=-1)  # (...)
        total = xp.exp(logits - top[..., None]).sum(axis=-1)  # [softmax_cross_entropy.1]
        picked = xp.take_along_axis(logits, at, axis=-1)[..., 0]  # (...)
        nll = xp.log(total) - (picked - top)  # [softmax_cross_entropy.2]
    return nll, Saved(logits, targets, top, total)


def backward(d_nll: Array, saved: Saved, out: Array | None = None) -> Array:
    logits, targets, top, total = saved
    xp = xp_of(logits)
    dx = xp.empty(logits.shape, xp.result_type(logits, d_nll)) if out is None else out
    with np.errstate(invalid="ignore"):
        xp.subtract(logits, top[..., None], out=dx)
        xp.exp(dx, out=dx)
        dx *= (d_nll / total)[..., None]  # [softmax_cross_entropy.3]
    rows = dx.reshape(-1, dx.shape[-1])
    rows[xp.arange(len(rows)), targets.reshape(-1)] -= d_nll.reshape(-1)
    return dx
