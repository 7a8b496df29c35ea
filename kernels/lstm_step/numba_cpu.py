"""LSTM step in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.lstm_step.reference import Saved
from backhand.kernels.numba_math import sigmoid, tanh
from backhand.kernels.numba_tools import as_rows, jit, jit_apart, over_rows, sum_rows

FORWARD, BACKWARD = 4e-9, 2e-9  # seconds for one unit of one row
ALL = np.empty(0, bool)  # stands for no mask


def forward(
    a: Array, c_prev: Array, b: Array | None, h_prev: Array | None, mask: Array | None,
    forget_bias: float, out: tuple[Array, ...] | None,
) -> tuple[Array, Array, Saved]:  # fmt: skip
    h, c, gates = out or tuple(np.empty(x.shape, a.dtype) for x in (c_prev, c_prev, a))
    H = c_prev.shape[-1]
    bias = np.zeros(4 * H, a.dtype) if b is None else b.copy()
    bias[H : 2 * H] += a.dtype.type(forget_bias)
    before = as_rows(c_prev)
    held = before if h_prev is None else as_rows(h_prev)
    over_rows(
        _forward, len(before), FORWARD * H, as_rows(h), as_rows(c), as_rows(gates), as_rows(a),
        bias, before, held, _on(mask),
    )  # fmt: skip
    return h, c, Saved(gates, c_prev, c, mask, b is not None)


def backward(
    dh: Array, dc: Array, saved: Saved, out: tuple[Array, ...] | None
) -> tuple[Array, Array, Array | None, Array | None]:
    gates, c_prev, c, mask, has_bias = saved
    shapes = (gates.shape, c.shape) if mask is None else (gates.shape, c.shape, c.shape)
    out = out or tuple(np.empty(shape, c.dtype) for shape in shapes)
    da, dc_prev, dh_prev = as_rows(out[0]), as_rows(out[1]), as_rows(out[-1])
    over_rows(
        _backward, len(dc_prev), BACKWARD * c.shape[-1], da, dc_prev, dh_prev, as_rows(dh),
        as_rows(dc), as_rows(gates), as_rows(c_prev), as_rows(c), _on(mask),
    )  # fmt: skip
    db = sum_rows(da) if has_bias else None  # [lstm_step.10]
    return out[0], out[1], db, None if mask is None else out[2]


def _on(mask: Array | None) -> Array:
    return ALL if mask is None else np.ascontiguousarray(mask, bool).reshape(-1)


@jit
def _forward(
    begin: int, end: int, h: Any, c: Any, gates: Any, a: Any, b: Any, c_prev: Any, h_prev: Any,
    on: Any,
) -> None:  # fmt: skip
    H = h.shape[1]
    u = np.empty_like(b)  # of one row, so that gates may be a
    for r in range(begin, end):
        if len(on) and not on[r]:
            h[r] = h_prev[r]  # [lstm_step.5]
            c[r] = c_prev[r]
            gates[r] = 0
            continue
        x, s = a[r], gates[r]
        for j in range(len(b)):
            u[j] = x[j] + b[j]  # [lstm_step.1]
        _sigmoids(s[: 2 * H], u)  # [lstm_step.2]
        _tanhs(s[2 * H : 3 * H], u[2 * H :])
        _sigmoids(s[3 * H :], u[3 * H :])
        _cell(h[r], c[r], s[:H], s[H : 2 * H], s[2 * H : 3 * H], s[3 * H :], c_prev[r])


@jit_apart
def _sigmoids(y: Any, x: Any) -> None:
    for j in range(len(y)):
        y[j] = sigmoid(x[j])


@jit_apart
def _tanhs(y: Any, x: Any) -> None:
    for j in range(len(y)):
        y[j] = tanh(x[j])


@jit_apart
def _cell(h: Any, c: Any, i: Any, f: Any, g: Any, o: Any, c_prev: Any) -> None:
    for j in range(len(h)):
        cell = f[j] * c_prev[j] + i[j] * g[j]
        c[j] = cell  # [lstm_step.3]
        h[j] = o[j] * tanh(cell)  # [lstm_step.4]


@jit
def _backward(
    begin: int, end: int, da: Any, dc_prev: Any, dh_prev: Any, dh: Any, dc: Any, gates: Any,
    c_prev: Any, c: Any, on: Any,
) -> None:  # fmt: skip
    H = c.shape[1]
    s, d, e = np.empty(4 * H, c.dtype), np.empty(H, c.dtype), np.empty(H, c.dtype)
    for r in range(begin, end):
        if len(on) and not on[r]:
            e[:] = dh[r]
            d[:] = dc[r]
            da[r] = 0  # [lstm_step.11]
            dc_prev[r] = d
            dh_prev[r] = e
            continue
        _copy(s, gates[r])  # of one row, as da may be gates
        _to_cell(d, e, dh[r], dc[r], s[3 * H :], c[r])  # into d and e, as dc_prev may be dc
        to = da[r]
        _to_gates(to[:H], to[H : 2 * H], to[2 * H : 3 * H], dc_prev[r], d, s, c_prev[r])
        _copy(to[3 * H :], e)
        if len(on):
            dh_prev[r] = 0


@jit_apart
def _copy(y: Any, x: Any) -> None:
    for j in range(len(y)):
        y[j] = x[j]


@jit_apart
def _to_cell(d: Any, e: Any, dh: Any, dc: Any, o: Any, c: Any) -> None:
    """The gradients of the cell and of u_o."""
    one = c.dtype.type(1)
    for j in range(len(c)):
        t = tanh(c[j])
        d[j] = dc[j] + dh[j] * o[j] * (one - t * t)  # [lstm_step.6]
        e[j] = dh[j] * t * o[j] * (one - o[j])


@jit_apart
def _to_gates(di: Any, df: Any, dg: Any, dc_prev: Any, d: Any, s: Any, c_prev: Any) -> None:
    H, one = len(d), d.dtype.type(1)
    i, f, g = s[:H], s[H : 2 * H], s[2 * H : 3 * H]
    for j in range(H):
        di[j] = d[j] * g[j] * i[j] * (one - i[j])  # [lstm_step.8]
        df[j] = d[j] * c_prev[j] * f[j] * (one - f[j])
        dg[j] = d[j] * i[j] * (one - g[j] * g[j])
        dc_prev[j] = d[j] * f[j]  # [lstm_step.9]
