"""LSTM step in CUDA (csrc/lstm_step/kernel.cu)."""

from __future__ import annotations

from backhand._types import Array
from backhand.kernels.cuda_tools import (
    GRID,
    TILE_COLS,
    as_rows,
    blocks,
    finish_sums,
    launch,
    partial_sums,
    tiles,
)
from backhand.kernels.lstm_step.reference import Saved
from backhand.numerics import xp_of

BLOCK = (32, 4)  # units of a row, rows


def forward(
    a: Array, c_prev: Array, b: Array | None, h_prev: Array | None, mask: Array | None,
    forget_bias: float, out: tuple[Array, ...] | None,
) -> tuple[Array, Array, Saved]:  # fmt: skip
    xp = xp_of(a)
    h, c, gates = out or tuple(xp.empty(x.shape, a.dtype) for x in (c_prev, c_prev, a))
    before = as_rows(c_prev)
    bias = None if b is None else xp.ascontiguousarray(b)
    held = None if h_prev is None else as_rows(h_prev)
    arguments = (
        h, c, gates, as_rows(a), before, bias, held, _on(mask), float(forget_bias), *before.shape,
    )  # fmt: skip
    launch("lstm_step", "lstm_step_forward", _grid(*before.shape), BLOCK, arguments)
    return h, c, Saved(gates, c_prev, c, mask, b is not None)


def backward(
    dh: Array, dc: Array, saved: Saved, out: tuple[Array, ...] | None
) -> tuple[Array, Array, Array | None, Array | None]:
    gates, c_prev, c, mask, has_bias = saved
    xp = xp_of(c)
    shapes = (gates.shape, c.shape) if mask is None else (gates.shape, c.shape, c.shape)
    out = out or tuple(xp.empty(shape, c.dtype) for shape in shapes)
    da, dc_prev, dh_prev = out[0], out[1], None if mask is None else out[2]
    cells = as_rows(c)
    arguments = (
        da, dc_prev, dh_prev, as_rows(dh), as_rows(dc), as_rows(gates), as_rows(c_prev), cells,
        _on(mask), *cells.shape,
    )  # fmt: skip
    launch("lstm_step", "lstm_step_backward", _grid(*cells.shape), BLOCK, arguments)
    return da, dc_prev, _sum(as_rows(da)) if has_bias else None, dh_prev


def _grid(rows: int, H: int) -> tuple[int, int]:
    return blocks(H, BLOCK[0], GRID[0]), blocks(rows, BLOCK[1])


def _on(mask: Array | None) -> Array | None:
    """As the kernels take it: int32, contiguous."""
    return None if mask is None else (mask != 0).astype("int32", order="C").reshape(-1)


def _sum(da: Array) -> Array:
    sums = partial_sums(da)
    launch("lstm_step", "lstm_step_sum", tiles(*da.shape), (TILE_COLS, 8), (sums, da, *da.shape))
    return finish_sums("lstm_step", "lstm_step_sum", sums)
