"""Reparameterised samples and KL of a diagonal Gaussian: NumPy."""

from __future__ import annotations

from typing import NamedTuple

from backhand._types import Array
from backhand.numerics import sum_samples, xp_of


class Saved(NamedTuple):
    mean: Array  # (..., Z)
    logvar: Array  # (..., Z)
    eps: Array  # (K, ..., Z)


def forward(mean: Array, logvar: Array, eps: Array) -> tuple[Array, Array, Saved]:
    xp, half = xp_of(mean), logvar.dtype.type(0.5)
    z = mean + xp.exp(half * logvar) * eps  # [gaussian_latent.1]
    kl = half * (mean * mean + (xp.expm1(logvar) - logvar))  # [gaussian_latent.2]
    return z, kl, Saved(mean, logvar, eps)


def backward(
    dz: Array, dkl: Array, saved: Saved, need_eps: bool
) -> tuple[Array, Array, Array | None]:
    mean, logvar, eps = saved
    xp, half = xp_of(mean), logvar.dtype.type(0.5)
    std = xp.exp(half * logvar)
    dmean = sum_samples(dz, mean.ndim) + dkl * mean  # [gaussian_latent.3]
    dz_eps = sum_samples(dz * eps, mean.ndim)
    dlogvar = half * (dz_eps * std + dkl * xp.expm1(logvar))  # [gaussian_latent.4]
    deps = dz * std if need_eps else None  # [gaussian_latent.5]
    return dmean, dlogvar, deps
