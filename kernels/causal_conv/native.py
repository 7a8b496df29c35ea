"""Causal convolution in C++ (csrc/causal_conv/cpu.cpp); with many channels, around BLAS."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.bias_activation import native as bias_activation
from backhand.kernels.bias_activation.reference import ACTIVATIONS
from backhand.kernels.bias_activation.reference import Saved as BiasSaved
from backhand.kernels.causal_conv import products
from backhand.kernels.causal_conv.reference import Saved
from backhand.numerics import sum_rows

_native: Any = import_module("backhand._native").causal_conv
_NUMBER = {name: number for number, name in enumerate(ACTIVATIONS)}


def forward(
    x: Array, W: Array, b: Array | None, dilation: int, activation: str
) -> tuple[Array, Saved]:
    if products.is_narrow(W):
        step = min(dilation, x.shape[-2])  # what is beyond the sequence is beyond
        y: Array = _native.forward(x, W, b, step, _NUMBER[activation])
    else:

        def finish(u: Array, v: Array | None, shift: int) -> Array:
            _native.add(u, v, shift, b, _NUMBER[activation])
            return u

        y = products.forward(x, W, dilation, _add, finish)
    return y, Saved(x, W, y, dilation, activation, b is not None)


def backward(
    dy: Array, saved: Saved, need_x: bool = True, need_W: bool = True
) -> tuple[Array | None, Array | None, Array | None]:
    x, W, y, dilation, activation, has_bias = saved
    if activation == "identity":
        da, db = np.ascontiguousarray(dy), sum_rows(dy) if has_bias else None
    else:
        da, db = bias_activation.backward(dy, BiasSaved(y, activation, has_bias))
    dx = dW = None
    if products.is_narrow(W):
        step = min(dilation, x.shape[-2])
        dx = _native.dx(da, W, step) if need_x else None
        dW = _native.dW(x, da, len(W), step) if need_W else None
    else:
        dx = products.dx(da, W, dilation, _add) if need_x else None
        dW = products.dW(x, da, W, dilation, activation != "identity") if need_W else None
    return dx, dW, db


def _add(u: Array, v: Array, shift: int) -> None:
    _native.add(u, v, shift, None, _NUMBER["identity"])
