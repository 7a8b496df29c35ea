"""Softmax cross-entropy in C++ (csrc/softmax_cross_entropy/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.softmax_cross_entropy.reference import Saved

_native: Any = import_module("backhand._native").softmax_cross_entropy


def forward(logits: Array, targets: Array) -> tuple[Array, Saved]:
    nll, top, total = _native.forward(logits, targets.astype(np.int64, copy=False))
    return nll, Saved(logits, targets, top, total)


def backward(d_nll: Array, saved: Saved, out: Array | None = None) -> Array:
    logits, targets, top, total = saved
    dx = np.empty(logits.shape, logits.dtype) if out is None else out
    _native.backward(dx, d_nll, logits, targets.astype(np.int64, copy=False), top, total)
    return dx
