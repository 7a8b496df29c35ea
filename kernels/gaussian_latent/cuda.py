"""A diagonal Gaussian posterior in CUDA (csrc/gaussian_latent/kernel.cu): samples and their KL."""

from __future__ import annotations

from backhand._types import Array
from backhand.kernels.cuda_tools import blocks, launch, shared_samples
from backhand.kernels.gaussian_latent.reference import Saved
from backhand.numerics import xp_of

THREADS = 128  # forward
SAMPLES = 8  # that a thread makes, forward
BLOCKS = 65535  # along y; more samples are taken in turns


def forward(mean: Array, logvar: Array, eps: Array) -> tuple[Array, Array, Saved]:
    xp = xp_of(mean)
    m, logv, e = (xp.ascontiguousarray(x) for x in (mean, logvar, eps))
    z, kl = xp.empty_like(e), xp.empty_like(m)
    samples = e.size // max(m.size, 1)
    grid = blocks(m.size, THREADS), blocks(max(samples, 1), SAMPLES, BLOCKS)
    arguments = (z, kl, m, logv, e, samples, m.size)
    launch("gaussian_latent", "gaussian_latent_forward", grid, THREADS, arguments)
    return z, kl, Saved(mean, logvar, eps)


def backward(
    dz: Array, dkl: Array, saved: Saved, need_eps: bool
) -> tuple[Array, Array, Array | None]:
    xp = xp_of(dz)
    arrays = [xp.ascontiguousarray(x) for x in (dz, dkl, *saved)]
    d, _, mean, _, _ = arrays
    dmean, dlogvar = xp.empty_like(mean), xp.empty_like(mean)
    deps = xp.empty_like(d) if need_eps else None
    samples = d.size // max(mean.size, 1)
    grid, block = shared_samples(mean.size, samples)
    arguments = (dmean, dlogvar, deps, *arrays, samples, mean.size)
    launch("gaussian_latent", "gaussian_latent_backward", grid, block, arguments)
    return dmean, dlogvar, deps
