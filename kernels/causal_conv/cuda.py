"""Causal convolution in CUDA (csrc/causal_conv/kernel.cu) around the array module's products."""

from __future__ import annotations

import math

from backhand._types import Array
from backhand.kernels.bias_activation import cuda as bias_activation
from backhand.kernels.bias_activation.reference import ACTIVATIONS
from backhand.kernels.bias_activation.reference import Saved as BiasSaved
from backhand.kernels.causal_conv import products
from backhand.kernels.causal_conv.reference import Saved
from backhand.kernels.cuda_tools import GRID, blocks, launch
from backhand.numerics import xp_of

_NUMBER = {name: number for number, name in enumerate(ACTIVATIONS)}
BLOCK = (32, 4)  # columns of a row, steps
SEQUENCES = 65535  # blocks along z; more are taken in turns


def forward(
    x: Array, W: Array, b: Array | None, dilation: int, activation: str
) -> tuple[Array, Saved]:
    bias = None if b is None else xp_of(b).ascontiguousarray(b)

    def finish(u: Array, v: Array | None, shift: int) -> Array:
        _launch_add(u, v, bias, shift, activation)
        return u

    y = products.forward(x, W, dilation, _add, finish)
    return y, Saved(x, W, y, dilation, activation, b is not None)


def backward(
    dy: Array, saved: Saved, need_x: bool = True, need_W: bool = True
) -> tuple[Array | None, Array | None, Array | None]:
    x, W, y, dilation, activation, has_bias = saved
    da, db = bias_activation.backward(dy, BiasSaved(y, activation, has_bias))
    dx = products.dx(da, W, dilation, _add) if need_x else None
    return dx, _dW(x, da, W, dilation) if need_W else None, db


def _dW(x: Array, da: Array, W: Array, dilation: int) -> Array:
    """A tap pairs the steps x[: T - s] and da[s :]: laid side by side, they are one product."""
    xp, T = xp_of(x), x.shape[-2]
    x = xp.ascontiguousarray(x)
    made: Array = xp.zeros(W.shape, x.dtype)
    for k in range(len(W)):
        shift = k * dilation
        if shift < T:
            past, now = _take(x, 0, T - shift), _take(da, shift, T - shift)
            xp.matmul(past.T, now, out=made[k])  # [causal_conv.6]
    return made


def _take(x: Array, first: int, count: int) -> Array:
    """The steps [first, first + count) of every sequence as rows."""
    sequences, steps, cols = math.prod(x.shape[:-2]), *x.shape[-2:]
    if count == steps:
        return x.reshape(sequences * steps, cols)
    out: Array = xp_of(x).empty((sequences * count, cols), x.dtype)
    arguments = (out, x, first, count, sequences, steps, cols)
    launch("causal_conv", "causal_conv_take", _grid(sequences, count, cols), BLOCK, arguments)
    return out


def _add(u: Array, v: Array, shift: int) -> None:
    _launch_add(u, v, None, shift, "identity")


def _launch_add(u: Array, v: Array | None, b: Array | None, shift: int, activation: str) -> None:
    sizes = math.prod(u.shape[:-2]), *u.shape[-2:]
    arguments = (u, v, b, shift, _NUMBER[activation], *sizes)
    launch("causal_conv", "causal_conv_add", _grid(*sizes), BLOCK, arguments)


def _grid(sequences: int, steps: int, cols: int) -> tuple[int, int, int]:
    return blocks(cols, BLOCK[0], GRID[0]), blocks(steps, BLOCK[1]), min(sequences, SEQUENCES)
