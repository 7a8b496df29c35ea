"""A reparameterised Gaussian sample with its log-densities in Numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.gaussian_sample.reference import Saved
from backhand.kernels.numba_math import exp
from backhand.kernels.numba_tools import BLOCK as SAMPLES
from backhand.kernels.numba_tools import as_rows, jit, over_rows
from backhand.numerics import LOG_2PI

ELEMENT, SAMPLE = 1.5e-9, 0.5e-9  # seconds
BLOCK = 512  # elements that are added before a sum goes on in double


def forward(stats: Array, eps: Array) -> tuple[Array, Array, Array, Saved]:
    rows, e = as_rows(stats), _samples(eps, stats)
    z, log_q, log_n = np.empty_like(e), *np.empty((2, *e.shape[:2]), e.dtype)
    over_rows(_forward, len(rows), _seconds(e), z, log_q, log_n, rows, e)
    z = z.reshape(eps.shape)
    lead = eps.shape[:-1]
    return z, log_q.reshape(lead), log_n.reshape(lead), Saved(stats, eps, z)


def backward(
    dz: Array, d_log_q: Array, d_log_n: Array, saved: Saved, need_eps: bool
) -> tuple[Array, Array | None]:
    stats, eps, z = saved
    rows, e = as_rows(stats), _samples(eps, stats)
    dstats, deps = np.empty_like(rows), np.empty_like(e)
    d_q, d_n = (np.ascontiguousarray(d).reshape(e.shape[:2]) for d in (d_log_q, d_log_n))
    given = _samples(dz, stats), d_q, d_n, rows, e, _samples(z, stats)
    over_rows(_backward, len(rows), _seconds(e), dstats, deps, *given, need_eps)
    return dstats.reshape(stats.shape), deps.reshape(eps.shape) if need_eps else None


def _samples(x: Array, stats: Array) -> Array:
    """x behind its sample axes, (K, R, Z), for the R rows of stats."""
    lead = x.ndim - stats.ndim
    shape = math.prod(x.shape[:lead]), math.prod(x.shape[lead:-1]), x.shape[-1]
    return np.ascontiguousarray(x).reshape(shape)


def _seconds(eps: Array) -> float:
    seconds: float = (ELEMENT + SAMPLE * len(eps)) * eps.shape[2]
    return seconds


@jit
def _forward(
    begin: int, end: int, z: Any, log_q: Any, log_n: Any, stats: Any, eps: Any
) -> None:  # fmt: skip
    Z, zero = eps.shape[2], eps.dtype.type(0)
    std, constant = np.empty(Z, eps.dtype), Z * LOG_2PI
    for r in range(begin, end):
        mean, s, log_stds = stats[r, :Z], stats[r, Z:], 0.0
        for start in range(0, Z, BLOCK):
            s_b, std_b, part = s[start : start + BLOCK], std[start : start + BLOCK], zero
            for i in range(len(s_b)):
                std_b[i] = exp(s_b[i])
                part += s_b[i]
            log_stds += part
        for k in range(len(eps)):
            of_eps, of_z = 0.0, 0.0
            for start in range(0, Z, BLOCK):
                block = slice(start, start + BLOCK)
                m_b, std_b, e_b, z_b = mean[block], std[block], eps[k, r, block], z[k, r, block]
                part, part_z = zero, zero
                for i in range(len(e_b)):
                    z_i = m_b[i] + std_b[i] * e_b[i]  # [gaussian_sample.1]
                    z_b[i] = z_i
                    part += e_b[i] * e_b[i]
                    part_z += z_i * z_i
                of_eps += part
                of_z += part_z
            log_q[k, r] = -0.5 * (of_eps + constant) - log_stds  # [gaussian_sample.2]
            log_n[k, r] = -0.5 * (of_z + constant)  # [gaussian_sample.3]


@jit
def _backward(
    begin: int, end: int, dstats: Any, deps: Any, dz: Any, d_log_q: Any, d_log_n: Any,
    stats: Any, eps: Any, z: Any, need_eps: bool,
) -> None:  # fmt: skip
    K, Z = len(eps), eps.shape[2]
    std, total, total_eps = np.empty(Z, eps.dtype), np.empty(Z), np.empty(Z)
    for r in range(begin, end):
        s, dmean, ds, q = stats[r, Z:], dstats[r, :Z], dstats[r, Z:], 0.0
        for i in range(Z):
            std[i] = exp(s[i])
            total[i] = total_eps[i] = 0
        for first in range(0, K, SAMPLES):
            for i in range(Z):
                dmean[i] = ds[i] = 0
            for k in range(first, min(first + SAMPLES, K)):
                d_q, d_n, dz_k, eps_k, z_k = (
                    d_log_q[k, r],
                    d_log_n[k, r],
                    dz[k, r],
                    eps[k, r],
                    z[k, r],
                )
                q += d_q
                for i in range(Z):
                    t = dz_k[i] - d_n * z_k[i]  # [gaussian_sample.4]
                    dmean[i] += t
                    ds[i] += t * eps_k[i]
                if need_eps:
                    deps_k = deps[k, r]
                    for i in range(Z):
                        t = dz_k[i] - d_n * z_k[i]
                        deps_k[i] = t * std[i] - d_q * eps_k[i]  # [gaussian_sample.7]
            for i in range(Z):
                total[i] += dmean[i]
                total_eps[i] += ds[i]
        for i in range(Z):
            dmean[i] = total[i]  # [gaussian_sample.5]
            ds[i] = std[i] * total_eps[i] - q  # [gaussian_sample.6]
