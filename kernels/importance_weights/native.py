"""The bound of K importance weights in C++ (csrc/importance_weights/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backhand._types import Array
from backhand.kernels.importance_weights.reference import Saved

_native: Any = import_module("backhand._native").importance_weights


def forward(log_w: Array, estimator: str) -> tuple[Array, Saved]:
    bound, top, total = _native.forward(log_w)
    return bound, Saved(log_w, top, total, estimator)


def backward(d_bound: Array, saved: Saved) -> Array:
    log_w, top, total, estimator = saved
    return _native.backward(d_bound, log_w, top, total, estimator == "dreg")  # type: ignore[no-any-return]


def weights(saved: Saved) -> Array:
    return _native.weights(saved.log_w, saved.top, saved.total)  # type: ignore[no-any-return]
