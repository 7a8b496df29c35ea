"""Log-density of a diagonal Gaussian: NumPy."""

from __future__ import annotations

import math
from typing import NamedTuple

from backhand._types import Array
from backhand.numerics import sum_rows, sum_samples, xp_of

LOG_2PI = math.log(2 * math.pi)


class Saved(NamedTuple):
    x: Array  # (..., D)
    mean: Array  # (K, ..., D)
    logvar: Array  # (K, ..., D) or (D,)


def forward(x: Array, mean: Array, logvar: Array) -> tuple[Array, Saved]:
    real = logvar.dtype.type
    u = (x - mean) * xp_of(mean).exp(real(-0.5) * logvar)  # [gaussian_density.1]
    logp = real(-0.5) * (u * u + logvar + real(LOG_2PI)).sum(axis=-1)  # [gaussian_density.2]
    return logp, Saved(x, mean, logvar)


def backward(d_logp: Array, saved: Saved, need_x: bool) -> tuple[Array | None, Array, Array]:
    x, mean, logvar = saved
    xp, half = xp_of(mean), logvar.dtype.type(0.5)
    d = d_logp[..., None]  # (K, ..., 1)
    inverse_std = xp.exp(-half * logvar)
    u = (x - mean) * inverse_std
    dmean = d * u * inverse_std  # [gaussian_density.3]
    dlogvar = d * half * (u * u - logvar.dtype.type(1))  # [gaussian_density.4]
    if logvar.ndim < mean.ndim:
        dlogvar = sum_rows(dlogvar)
    dx = -sum_samples(dmean, x.ndim) if need_x else None  # [gaussian_density.5]
    return dx, dmean, dlogvar
