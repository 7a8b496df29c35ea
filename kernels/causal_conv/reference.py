"""Causal dilated convolution: NumPy, one product of shifted rows for each tap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from backhand._types import Array
from backhand.kernels.bias_activation import reference as bias_activation
from backhand.numerics import sum_samples, xp_of


class Saved(NamedTuple):
    x: Array  # (..., T, I)
    W: Array  # (K, I, O)
    y: Array  # (..., T, O)
    dilation: int
    activation: str
    has_bias: bool


def forward(
    x: Array, W: Array, b: Array | None, dilation: int, activation: str
) -> tuple[Array, Saved]:
    xp, T = xp_of(x), x.shape[-2]
    u = xp.zeros((*x.shape[:-1], W.shape[-1]), xp.result_type(x, W))  # (..., T, O)
    for Wk, s in _taps(W, dilation, T):
        u[..., s:, :] += x[..., : T - s, :] @ Wk  # [causal_conv.1]
    y, _ = bias_activation.forward(u, b, activation)  # [causal_conv.2]
    return y, Saved(x, W, y, dilation, activation, b is not None)


def backward(
    dy: Array, saved: Saved, need_x: bool = True, need_W: bool = True
) -> tuple[Array | None, Array | None, Array | None]:
    x, W, y, dilation, activation, has_bias = saved
    xp, T = xp_of(x), x.shape[-2]
    # [causal_conv.3] [causal_conv.4]
    da, db = bias_activation.backward(dy, bias_activation.Saved(y, activation, has_bias))
    dx = xp.zeros(x.shape, da.dtype) if need_x else None
    dW = xp.zeros(W.shape, da.dtype) if need_W else None
    for k, (Wk, s) in enumerate(_taps(W, dilation, T)):
        if dx is not None:
            dx[..., : T - s, :] += da[..., s:, :] @ Wk.T  # [causal_conv.5]
        if dW is not None:
            xk = x[..., : T - s, :].swapaxes(-1, -2)  # (..., I, T - s)
            dW[k] = sum_samples(xk @ da[..., s:, :], 2)  # [causal_conv.6]
    return dx, dW, db


def _taps(W: Array, dilation: int, T: int) -> Iterator[tuple[Array, int]]:
    """Each W_k with the shift k d; at most T, where nothing is left to meet it."""
    for k, Wk in enumerate(W):
        yield xp_of(W).ascontiguousarray(Wk), min(k * dilation, T)
