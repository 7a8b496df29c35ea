"""Bias and activation in CUDA (csrc/bias_activation/kernel.cu)."""

from __future__ import annotations

from backhand._types import Array
from backhand.kernels.bias_activation.reference import ACTIVATIONS, Saved
from backhand.kernels.cuda_tools import (
    TILE_COLS,
    as_rows,
    blocks,
    finish_sums,
    launch,
    partial_sums,
    tiles,
)
from backhand.numerics import xp_of

_NUMBER = {name: number for number, name in enumerate(ACTIVATIONS)}
THREADS = 128  # along a row
ROWS = 4096  # blocks along the rows: enough for every multiprocessor


def forward(a: Array, b: Array | None, activation: str) -> tuple[Array, Saved]:
    xp = xp_of(a)
    x = as_rows(a)
    y = xp.empty_like(x)
    bias = None if b is None else xp.ascontiguousarray(b)
    grid = blocks(x.shape[1], THREADS), min(len(x), ROWS)
    arguments = (y, x, bias, *x.shape, _NUMBER[activation])
    launch("bias_activation", "bias_activation_forward", grid, THREADS, arguments)
    y = y.reshape(a.shape)
    return y, Saved(y, activation, b is not None)


def backward(dy: Array, saved: Saved) -> tuple[Array, Array | None]:
    rows = as_rows(saved.y)
    da = xp_of(rows).empty_like(rows)
    sums = partial_sums(rows) if saved.has_bias else None
    arguments = (da, sums, as_rows(dy), rows, *rows.shape, _NUMBER[saved.activation])
    grid = tiles(*rows.shape)
    launch("bias_activation", "bias_activation_backward", grid, (TILE_COLS, 8), arguments)
    db = None if sums is None else finish_sums("bias_activation", "bias_activation_sum", sums)
    return da.reshape(saved.y.shape), db
