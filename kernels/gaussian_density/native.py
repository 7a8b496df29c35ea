"""Log-density of a diagonal Gaussian in C++ (csrc/gaussian_density/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backhand._types import Array
from backhand.kernels.gaussian_density.reference import Saved

_native: Any = import_module("backhand._native").gaussian_density


def forward(x: Array, mean: Array, logvar: Array) -> tuple[Array, Saved]:
    return _native.forward(x, mean, logvar), Saved(x, mean, logvar)


def backward(d_logp: Array, saved: Saved, need_x: bool) -> tuple[Array | None, Array, Array]:
    return _native.backward(d_logp, *saved, need_x)  # type: ignore[no-any-return]
