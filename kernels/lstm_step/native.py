"""LSTM step in C++ (csrc/lstm_step/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.lstm_step.reference import Saved

_native: Any = import_module("backhand._native").lstm_step


def forward(
    a: Array, c_prev: Array, b: Array | None, h_prev: Array | None, mask: Array | None,
    forget_bias: float, out: tuple[Array, ...] | None,
) -> tuple[Array, Array, Saved]:  # fmt: skip
    h, c, gates = out or (
        np.empty(c_prev.shape, a.dtype),
        np.empty(c_prev.shape, a.dtype),
        np.empty(a.shape, a.dtype),
    )
    on = None if mask is None else np.asarray(mask, bool)
    _native.forward(h, c, gates, a, c_prev, b, h_prev, on, forget_bias)
    return h, c, Saved(gates, c_prev, c, mask, b is not None)


def backward(
    dh: Array, dc: Array, saved: Saved, out: tuple[Array, ...] | None
) -> tuple[Array, Array, Array | None, Array | None]:
    gates, c_prev, c, mask, has_bias = saved
    da, dc_prev = out[:2] if out else (np.empty(gates.shape, c.dtype), np.empty(c.shape, c.dtype))
    db = np.empty(gates.shape[-1:], c.dtype) if has_bias else None
    on, dh_prev = None, None
    if mask is not None:
        on = np.asarray(mask, bool)
        dh_prev = out[2] if out else np.empty(c.shape, c.dtype)
    _native.backward(da, dc_prev, db, dh_prev, dh, dc, gates, c_prev, c, on)
    return da, dc_prev, db, dh_prev
