"""LSTM step: NumPy."""

from __future__ import annotations

from typing import NamedTuple

from backhand._types import Array
from backhand.numerics import sigmoid, sum_rows, xp_of


class Saved(NamedTuple):
    gates: Array  # (..., 4*H), [i f g o] after their activations
    c_prev: Array  # (..., H)
    c: Array  # (..., H)
    mask: Array | None  # (...)
    has_bias: bool


def forward(
    a: Array, c_prev: Array, b: Array | None, h_prev: Array | None, mask: Array | None,
    forget_bias: float, out: tuple[Array, ...] | None,
) -> tuple[Array, Array, Saved]:  # fmt: skip
    xp = xp_of(a)
    u = a if b is None else a + b  # [lstm_step.1]  (..., 4*H)
    u_i, u_f, u_g, u_o = xp.split(u, 4, axis=-1)
    i, o = sigmoid(u_i), sigmoid(u_o)  # [lstm_step.2]
    f = sigmoid(u_f + u.dtype.type(forget_bias))  # [lstm_step.2]
    g = xp.tanh(u_g)  # [lstm_step.2]
    c = f * c_prev + i * g  # [lstm_step.3]
    h = o * xp.tanh(c)  # [lstm_step.4]
    if mask is not None:
        on = mask[..., None] != 0
        c = xp.where(on, c, c_prev)  # [lstm_step.5]
        h = xp.where(on, h, h_prev)  # [lstm_step.5]
    gates = xp.concatenate([i, f, g, o], axis=-1)
    h, c, gates = _into(out, h, c, gates)
    return h, c, Saved(gates, c_prev, c, mask, b is not None)


def backward(
    dh: Array, dc: Array, saved: Saved, out: tuple[Array, ...] | None
) -> tuple[Array, Array, Array | None, Array | None]:
    gates, c_prev, c, mask, has_bias = saved
    xp, one = xp_of(c), c.dtype.type(1)
    i, f, g, o = xp.split(gates, 4, axis=-1)
    t = xp.tanh(c)
    d_cell = dc + dh * o * (one - t * t)  # [lstm_step.6]
    do, di, df, dg = dh * t, d_cell * g, d_cell * c_prev, d_cell * i  # [lstm_step.7]
    d_if = di * i * (one - i), df * f * (one - f)  # [lstm_step.8]
    d_go = dg * (one - g * g), do * o * (one - o)  # [lstm_step.8]
    da = xp.concatenate([*d_if, *d_go], axis=-1)
    dc_prev = d_cell * f  # [lstm_step.9]
    if mask is None:
        da, dc_prev = _into(out, da, dc_prev)
        return da, dc_prev, sum_rows(da) if has_bias else None, None  # [lstm_step.10]
    on, zero = mask[..., None] != 0, c.dtype.type(0)
    da = xp.where(on, da, zero)  # [lstm_step.11]
    dc_prev = xp.where(on, dc_prev, dc)  # [lstm_step.11]
    dh_prev = xp.where(on, zero, dh)  # [lstm_step.11]
    da, dc_prev, dh_prev = _into(out, da, dc_prev, dh_prev)
    return da, dc_prev, sum_rows(da) if has_bias else None, dh_prev  # [lstm_step.10]


def _into(out: tuple[Array, ...] | None, *results: Array) -> tuple[Array, ...]:
    """The results, written into ``out`` where there is one."""
    if out is None:
        return results
    for target, result in zip(out, results, strict=True):
        target[...] = result
    return out
