"""Softmax cross-entropy in CUDA (csrc/softmax_cross_entropy/kernel.cu)."""

from __future__ import annotations

import numpy as np

from backhand._types import Array
from backhand.kernels.cuda_tools import as_rows, launch, shared_rows
from backhand.kernels.softmax_cross_entropy.reference import Saved
from backhand.numerics import xp_of


def forward(logits: Array, targets: Array) -> tuple[Array, Saved]:
    xp, x = xp_of(logits), as_rows(logits)
    nll, top, total = (xp.empty(targets.shape, logits.dtype) for _ in range(3))
    arguments = (nll, top, total, x, xp.ascontiguousarray(targets, dtype=np.int64), *x.shape)
    grid, block = shared_rows(*x.shape)
    launch("softmax_cross_entropy", "softmax_cross_entropy_forward", grid, block, arguments)
    return nll, Saved(logits, targets, top, total)


def backward(d_nll: Array, saved: Saved, out: Array | None = None) -> Array:
    logits, targets, top, total = saved
    xp, x = xp_of(logits), as_rows(logits)
    dx = xp.empty(logits.shape, logits.dtype) if out is None else out
    d, top, total = (xp.ascontiguousarray(y) for y in (d_nll, top, total))
    at = xp.ascontiguousarray(targets, dtype=np.int64)
    grid, block = shared_rows(*x.shape)
    arguments = (dx, d, x, at, top, total, *x.shape)
    launch("softmax_cross_entropy", "softmax_cross_entropy_backward", grid, block, arguments)
    return dx
