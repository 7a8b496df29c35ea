"""Reparameterised samples and KL of a diagonal Gaussian in C++ (csrc/gaussian_latent/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backhand._types import Array
from backhand.kernels.gaussian_latent.reference import Saved

_native: Any = import_module("backhand._native").gaussian_latent


def forward(mean: Array, logvar: Array, eps: Array) -> tuple[Array, Array, Saved]:
    z, kl = _native.forward(mean, logvar, eps)
    return z, kl, Saved(mean, logvar, eps)


def backward(
    dz: Array, dkl: Array, saved: Saved, need_eps: bool
) -> tuple[Array, Array, Array | None]:
    return _native.backward(dz, dkl, *saved, need_eps)  # type: ignore[no-any-return]
