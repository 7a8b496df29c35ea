"""A reparameterised Gaussian sample with its log-densities: NumPy."""

from __future__ import annotations

from typing import NamedTuple

from backhand._types import Array
from backhand.numerics import LOG_2PI, sum_samples, xp_of


class Saved(NamedTuple):
    stats: Array  # (..., 2*Z)
    eps: Array  # (K, ..., Z)
    z: Array  # (K, ..., Z)


def forward(stats: Array, eps: Array) -> tuple[Array, Array, Array, Saved]:
    xp, half = xp_of(stats), stats.dtype.type(0.5)
    Z = eps.shape[-1]
    mean, s = stats[..., :Z], stats[..., Z:]
    constant = stats.dtype.type(Z / 2 * LOG_2PI)
    z = mean + xp.exp(s) * eps  # [gaussian_sample.1]
    log_q = -half * (eps * eps).sum(axis=-1) - s.sum(axis=-1) - constant  # [gaussian_sample.2]
    log_n = -half * (z * z).sum(axis=-1) - constant  # [gaussian_sample.3]
    return z, log_q, log_n, Saved(stats, eps, z)


def backward(
    dz: Array, d_log_q: Array, d_log_n: Array, saved: Saved, need_eps: bool
) -> tuple[Array, Array | None]:
    stats, eps, z = saved
    xp, d_q = xp_of(stats), d_log_q[..., None]  # (K, ..., 1)
    std = xp.exp(stats[..., z.shape[-1] :])
    t = dz - d_log_n[..., None] * z  # [gaussian_sample.4]
    dmean = sum_samples(t, stats.ndim)  # [gaussian_sample.5]
    t_eps = sum_samples(t * eps, stats.ndim)
    ds = std * t_eps - sum_samples(d_q, stats.ndim)  # [gaussian_sample.6]
    deps = t * std - d_q * eps if need_eps else None  # [gaussian_sample.7]
    return xp.concatenate([dmean, ds], axis=-1), deps
