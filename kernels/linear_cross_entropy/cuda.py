"""Linear layer and softmax cross-entropy: CUDA between the products (csrc/linear_cross_entropy)."""

from __future__ import annotations

import numpy as np

from backhand._types import Array
from backhand.kernels.cuda_tools import (
    TILE_COLS,
    finish_sums,
    launch,
    partial_sums,
    shared_rows,
    tiles,
)
from backhand.kernels.linear_cross_entropy.reference import Saved, backward_with, forward_with
from backhand.numerics import xp_of


def forward(h: Array, W: Array, b: Array, targets: Array) -> tuple[Array, Saved]:
    return forward_with(_absorb, h, W, b, targets)


def backward(d_nll: Array, saved: Saved, need_W: bool = True) -> tuple[Array, Array | None, Array]:
    return backward_with(_gradient, d_nll, saved, need_W)


def _absorb(x: Array, b: Array, targets: Array, top: Array, total: Array, picked: Array) -> None:
    xp = xp_of(x)
    at = xp.ascontiguousarray(targets, dtype=np.int64)
    arguments = (top, total, picked, x, xp.ascontiguousarray(b), at, *x.shape)
    grid, block = shared_rows(*x.shape)
    launch("linear_cross_entropy", "linear_cross_entropy_absorb", grid, block, arguments)


def _gradient(x: Array, b: Array, targets: Array, top: Array, total: Array, d_nll: Array) -> Array:
    xp, sums = xp_of(x), partial_sums(x)
    rows = (xp.ascontiguousarray(y) for y in (top, total, d_nll))
    at = xp.ascontiguousarray(targets, dtype=np.int64)
    arguments = (x, sums, xp.ascontiguousarray(b), at, *rows, *x.shape)
    kernel, grid = "linear_cross_entropy_gradient", tiles(*x.shape)
    launch("linear_cross_entropy", kernel, grid, (TILE_COLS, 8), arguments)
    return finish_sums("linear_cross_entropy", "linear_cross_entropy_sum", sums)
