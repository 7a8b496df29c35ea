"""Reparameterised samples and KL of a diagonal Gaussian in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.gaussian_latent.reference import Saved
from backhand.kernels.numba_math import exponential
from backhand.kernels.numba_tools import jit, over_rows

ELEMENT, SAMPLE = 1.5e-9, 0.5e-9  # seconds
BLOCK = 256  # elements whose samples are taken together
SAMPLES = 64  # that are added before a sum goes on in double


def forward(mean: Array, logvar: Array, eps: Array) -> tuple[Array, Array, Saved]:
    m, v, e = _flat(mean), _flat(logvar), _samples(eps, mean)
    z, kl = np.empty_like(e), np.empty_like(m)
    over_rows(_forward, len(m), ELEMENT + SAMPLE * len(e), z, kl, m, v, e)
    return z.reshape(eps.shape), kl.reshape(mean.shape), Saved(mean, logvar, eps)


def backward(
    dz: Array, dkl: Array, saved: Saved, need_eps: bool
) -> tuple[Array, Array, Array | None]:
    mean, logvar, eps = saved
    m, v, e = _flat(mean), _flat(logvar), _samples(eps, mean)
    dmean, dlogvar, to_eps = np.empty_like(m), np.empty_like(m), np.empty_like(e)
    over_rows(
        _backward, len(m), ELEMENT + SAMPLE * len(e),
        dmean, dlogvar, to_eps, _samples(dz, mean), _flat(dkl), m, v, e, need_eps,
    )  # fmt: skip
    deps = to_eps.reshape(eps.shape) if need_eps else None
    return dmean.reshape(mean.shape), dlogvar.reshape(mean.shape), deps


def _flat(x: Array) -> Array:
    return np.ascontiguousarray(x).reshape(-1)


def _samples(x: Array, mean: Array) -> Array:
    """x behind its sample axes, (K, n)."""
    return np.ascontiguousarray(x).reshape(x.size // mean.size if mean.size else 0, mean.size)


@jit
def _forward(begin: int, end: int, z: Any, kl: Any, mean: Any, logvar: Any, eps: Any) -> None:
    half, two = mean.dtype.type(0.5), mean.dtype.type(2)
    for start in range(begin, end, BLOCK):
        block = slice(start, min(end, start + BLOCK))
        m, v, kl_b = mean[block], logvar[block], kl[block]
        std = np.empty_like(m)
        for i in range(len(m)):
            std[i], e = exponential(half * v[i])
            kl_b[i] = half * (m[i] * m[i] + (e * (e + two) - v[i]))  # [gaussian_latent.2]
        for k in range(len(eps)):
            z_k, eps_k = z[k, block], eps[k, block]
            for i in range(len(m)):
                z_k[i] = m[i] + std[i] * eps_k[i]  # [gaussian_latent.1]


@jit
def _backward(
    begin: int, end: int, dmean: Any, dlogvar: Any, deps: Any, dz: Any, dkl: Any, mean: Any,
    logvar: Any, eps: Any, need_eps: bool,
) -> None:  # fmt: skip
    half, two = mean.dtype.type(0.5), mean.dtype.type(2)
    stds, es = np.empty(BLOCK, mean.dtype), np.empty(BLOCK, mean.dtype)
    sums, sums_eps = np.empty(BLOCK, mean.dtype), np.empty(BLOCK, mean.dtype)
    for start in range(begin, end, BLOCK):
        block = slice(start, min(end, start + BLOCK))
        m, v, dkl_b, dm, dl = mean[block], logvar[block], dkl[block], dmean[block], dlogvar[block]
        std, e, total, total_eps = stds[: len(m)], es[: len(m)], sums[: len(m)], sums_eps[: len(m)]
        for i in range(len(m)):
            std[i], e[i] = exponential(half * v[i])
        if len(eps) <= SAMPLES:
            _add_samples(total, total_eps, dz, eps, block, 0, len(eps))
        else:
            longer, longer_eps = np.zeros(len(m)), np.zeros(len(m))
            for first in range(0, len(eps), SAMPLES):
                stop = min(first + SAMPLES, len(eps))
                _add_samples(total, total_eps, dz, eps, block, first, stop)
                longer += total
                longer_eps += total_eps
            total[:], total_eps[:] = longer, longer_eps
        for i in range(len(m)):  # one loop for both would have too many arrays for LLVM
            dm[i] = total[i] + dkl_b[i] * m[i]  # [gaussian_latent.3]
        for i in range(len(m)):
            expm1 = e[i] * (e[i] + two)
            dl[i] = half * (total_eps[i] * std[i] + dkl_b[i] * expm1)  # [gaussian_latent.4]
        if need_eps:
            for k in range(len(eps)):
                dz_k, deps_k = dz[k, block], deps[k, block]
                for i in range(len(m)):
                    deps_k[i] = dz_k[i] * std[i]  # [gaussian_latent.5]


@jit
def _add_samples(
    total: Any, total_eps: Any, dz: Any, eps: Any, block: Any, first: int, stop: int
) -> None:
    """The sums of dz and dz eps over samples, in their own type."""
    for i in range(len(total)):
        total[i] = total_eps[i] = 0
    for k in range(first, stop):
        dz_k, eps_k = dz[k, block], eps[k, block]
        for i in range(len(total)):
            total[i] += dz_k[i]
            total_eps[i] += dz_k[i] * eps_k[i]
