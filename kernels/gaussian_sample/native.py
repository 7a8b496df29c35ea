"""Reparameterised Gaussian samples, their log-densities, in C++ (csrc/gaussian_sample/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.gaussian_sample.reference import Saved

_native: Any = import_module("backhand._native").gaussian_sample


def forward(stats: Array, eps: Array) -> tuple[Array, Array, Array, Saved]:
    stats, eps = np.ascontiguousarray(stats), np.ascontiguousarray(eps)
    _, log_q, log_n, z = _native.forward(stats, eps)
    return z, log_q, log_n, Saved(stats, eps, z)


def backward(
    dz: Array, d_log_q: Array, d_log_n: Array, saved: Saved, need_eps: bool
) -> tuple[Array, Array | None]:
    arrays = [np.ascontiguousarray(x) for x in (dz, d_log_q, d_log_n, *saved)]
    return _native.backward(*arrays, need_eps)  # type: ignore[no-any-return]


def unchecked(stats: Array, eps: Array) -> tuple[Array, Array, Array, Saved] | None:
    """``forward`` of what nobody has looked at, z read-only: None where C++ refuses it."""
    try:
        kept, log_q, log_n, z = _native.forward(stats, eps)
    except (TypeError, ValueError):
        return None
    return kept, log_q, log_n, Saved(stats, eps, z)


def unchecked_backward(
    dz: Array, d_log_q: Array, d_log_n: Array, saved: Saved, need_eps: bool
) -> tuple[Array, Array | None] | None:
    try:
        return _native.backward(dz, d_log_q, d_log_n, *saved, need_eps)  # type: ignore[no-any-return]
    except (TypeError, ValueError):
        return None
