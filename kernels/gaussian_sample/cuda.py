"""Reparameterised Gaussian samples, their log-densities, in CUDA (csrc/gaussian_sample)."""

from __future__ import annotations

from backhand._types import Array
from backhand.kernels.cuda_tools import as_rows, launch, shared_rows, shared_samples
from backhand.kernels.gaussian_sample.reference import Saved
from backhand.numerics import xp_of


def forward(stats: Array, eps: Array) -> tuple[Array, Array, Array, Saved]:
    xp = xp_of(stats)
    rows, e = as_rows(stats), as_rows(eps)  # (R, 2*Z), (K*R, Z)
    z = xp.empty_like(e)
    log_q, log_n = (xp.empty(eps.shape[:-1], eps.dtype) for _ in range(2))
    arguments = (z, log_q, log_n, rows, e, len(e), len(rows), e.shape[1])
    launch("gaussian_sample", "gaussian_sample_forward", *shared_rows(*e.shape), arguments)
    z = z.reshape(eps.shape)
    return z, log_q, log_n, Saved(stats, eps, z)


def backward(
    dz: Array, d_log_q: Array, d_log_n: Array, saved: Saved, need_eps: bool
) -> tuple[Array, Array | None]:
    xp = xp_of(dz)
    d, d_q, d_n, stats, eps, z = (
        xp.ascontiguousarray(x) for x in (dz, d_log_q, d_log_n, *saved)
    )  # fmt: skip
    dstats, deps = xp.empty_like(stats), xp.empty_like(d) if need_eps else None
    cols = eps.shape[-1]
    rows = len(as_rows(stats))
    samples = len(as_rows(eps)) // max(rows, 1)
    grid, block = shared_samples(rows * cols, samples)
    arguments = (dstats, deps, d, d_q, d_n, stats, eps, z, samples, rows, cols)
    launch("gaussian_sample", "gaussian_sample_backward", grid, block, arguments)
    return dstats, deps
