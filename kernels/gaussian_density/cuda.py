"""Log-density of a diagonal Gaussian in CUDA (csrc/gaussian_density/kernel.cu)."""

from __future__ import annotations

from typing import Any

from backhand._types import Array
from backhand.kernels.cuda_tools import (
    TILE_COLS,
    as_rows,
    finish_sums,
    launch,
    partial_sums,
    shared_rows,
    shared_samples,
    tiles,
)
from backhand.kernels.gaussian_density.reference import Saved
from backhand.numerics import xp_of


def forward(x: Array, mean: Array, logvar: Array) -> tuple[Array, Saved]:
    xp = xp_of(mean)
    xs, means = as_rows(x), as_rows(mean)  # (R, D), (K*R, D)
    logp = xp.empty(len(means), mean.dtype)
    shared = int(logvar.ndim < mean.ndim)
    arguments = (logp, xs, means, xp.ascontiguousarray(logvar), shared, len(means), *xs.shape)
    _launch("forward", shared_rows(*means.shape), arguments)
    return logp.reshape(mean.shape[:-1]), Saved(x, mean, logvar)


def backward(d_logp: Array, saved: Saved, need_x: bool) -> tuple[Array | None, Array, Array]:
    xp = xp_of(d_logp)
    x, mean = as_rows(saved.x), as_rows(saved.mean)  # (R, D), (K*R, D)
    given = (xp.ascontiguousarray(d_logp), x, mean, xp.ascontiguousarray(saved.logvar))
    dx = xp.empty_like(x) if need_x else None
    dmean = xp.empty_like(mean)
    samples = len(mean) // max(len(x), 1)
    if saved.logvar.ndim < saved.mean.ndim:
        sums = partial_sums(mean)
        arguments = (dmean, sums, *given, len(mean), *x.shape)
        _launch("backward_shared", (tiles(*mean.shape), (TILE_COLS, 8)), arguments)
        dlogvar = finish_sums("gaussian_density", "gaussian_density_sum", sums)
        if need_x:
            _launch("dx", shared_samples(x.size, samples), (dx, dmean, samples, x.size))
    else:
        dlogvar = xp.empty_like(mean)
        arguments = (dx, dmean, dlogvar, *given, samples, *x.shape)
        _launch("backward", shared_samples(x.size, samples), arguments)
        dlogvar = dlogvar.reshape(saved.mean.shape)
    return (
        None if dx is None else dx.reshape(saved.x.shape),
        dmean.reshape(saved.mean.shape),
        dlogvar,
    )


def _launch(kernel: str, sizes: tuple[Any, Any], arguments: tuple[Any, ...]) -> None:
    launch("gaussian_density", f"gaussian_density_{kernel}", *sizes, arguments)
