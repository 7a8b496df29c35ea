"""Log-density of a diagonal Gaussian in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.gaussian_density.reference import LOG_2PI, Saved
from backhand.kernels.numba_math import exp
from backhand.kernels.numba_tools import BLOCK as ROWS
from backhand.kernels.numba_tools import as_rows, jit, over_rows, sum_rows

ELEMENT = 1e-9  # seconds
BLOCK = 512  # elements that are added before a sum goes on in double


def forward(x: Array, mean: Array, logvar: Array) -> tuple[Array, Saved]:
    rows, means, logvars = as_rows(x), as_rows(mean), _rows_of(logvar)
    logp = np.empty(len(means), mean.dtype)
    over_rows(_forward, len(means), ELEMENT * means.shape[1], logp, rows, means, logvars)
    return logp.reshape(mean.shape[:-1]), Saved(x, mean, logvar)


def backward(d_logp: Array, saved: Saved, need_x: bool) -> tuple[Array | None, Array, Array]:
    x, mean, logvar = saved
    rows, means, logvars = as_rows(x), as_rows(mean), _rows_of(logvar)
    dmean, dlogvar = np.empty_like(means), np.empty_like(means)
    dx = np.zeros_like(rows) if need_x else None
    to_x = rows if dx is None else dx  # an array either way: untouched where need_x is false
    samples = len(means) // len(rows) if len(rows) else 0
    d = np.ascontiguousarray(d_logp).reshape(-1)
    seconds = ELEMENT * samples * rows.shape[1]
    arguments = to_x, dmean, dlogvar, d, rows, means, logvars, samples, need_x
    over_rows(_backward, len(rows), seconds, *arguments)
    dl = sum_rows(dlogvar) if logvar.ndim < mean.ndim else dlogvar.reshape(logvar.shape)
    return None if dx is None else dx.reshape(x.shape), dmean.reshape(mean.shape), dl


def _rows_of(logvar: Array) -> Array:
    """(R, D), or (1, D) where it is shared."""
    return as_rows(logvar if logvar.ndim > 1 else logvar[None])


@jit
def _forward(begin: int, end: int, logp: Any, x: Any, mean: Any, logvar: Any) -> None:
    half, constant = x.dtype.type(-0.5), x.dtype.type(LOG_2PI)
    for r in range(begin, end):
        row, of_row, total = r % len(x), r % len(logvar), 0.0
        for start in range(0, x.shape[1], BLOCK):
            block = slice(start, start + BLOCK)
            x_b, m_b, l_b = x[row, block], mean[r, block], logvar[of_row, block]
            nats = x.dtype.type(0)
            for i in range(len(x_b)):
                u = (x_b[i] - m_b[i]) * exp(half * l_b[i])  # [gaussian_density.1]
                nats += u * u + l_b[i] + constant  # [gaussian_density.2]
            total += nats
        logp[r] = -0.5 * total


@jit
def _backward(
    begin: int, end: int, dx: Any, dmean: Any, dlogvar: Any, d: Any, x: Any, mean: Any,
    logvar: Any, samples: int, need_x: bool,
) -> None:  # fmt: skip
    half, one = x.dtype.type(0.5), x.dtype.type(1)
    total = np.empty(x.shape[1])
    for r in range(begin, end):
        x_r, dx_r = x[r], dx[r]
        if samples > ROWS:
            total[:] = 0
        for start in range(0, samples, ROWS):
            if need_x:
                dx_r[:] = 0
            for k in range(start, min(start + ROWS, samples)):
                at = k * len(x) + r
                m_r, l_r, d_r = mean[at], logvar[at % len(logvar)], d[at]
                dm_r, dl_r = dmean[at], dlogvar[at]
                for i in range(len(x_r)):
                    inverse_std = exp(-half * l_r[i])
                    u = (x_r[i] - m_r[i]) * inverse_std
                    dm_r[i] = d_r * u * inverse_std  # [gaussian_density.3]
                    dl_r[i] = d_r * half * (u * u - one)  # [gaussian_density.4]
                if need_x:
                    for i in range(len(x_r)):
                        dx_r[i] -= dm_r[i]  # [gaussian_density.5]
            if need_x and samples > ROWS:
                for i in range(len(x_r)):
                    total[i] += dx_r[i]
        if need_x and samples > ROWS:
            for i in range(len(x_r)):
                dx_r[i] = total[i]
