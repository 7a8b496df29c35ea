"""Densities and latent variables with their own backward pass.

Shapes are written for K samples of B data; sample axes may be more or none, and leading axes
other than B, as in sets (B, n, D), are as good: see the kernels.

Each takes the kernel that fits its arrays, and its backward uses the backend of its forward.
"""

from __future__ import annotations

from collections.abc import Callable

from backhand._types import Array
from backhand.kernels import (
    bernoulli_logits,
    gaussian_density,
    gaussian_latent,
    gaussian_sample,
    importance_weights,
)
from backhand.numerics import sum_samples


def bernoulli(x: Array, logits: Array) -> tuple[Array, Callable[[Array], Array]]:
    """log p(x | logits), (K, B); x (B, D) is data: backward(d_logp) gives dlogits (K, B, D)."""
    run = bernoulli_logits.OP.resolve(None, x, logits)
    logp, saved = bernoulli_logits.forward(x, logits, backend=run)

    def backward(d_logp: Array) -> Array:
        return bernoulli_logits.backward(d_logp, saved, need_x=False, backend=run)[1]

    return logp, backward


def gaussian(
    x: Array, mean: Array, logvar: Array
) -> tuple[Array, Callable[..., tuple[Array | None, Array, Array]]]:
    """log N(x; mean, exp(logvar)), (K, B); backward(d_logp) gives (dx, dmean, dlogvar).

    Where x (B, D) is data, ``need_x=False`` saves the work for dx, which is None then.
    """
    run = gaussian_density.OP.resolve(None, x, mean, logvar)
    logp, saved = gaussian_density.forward(x, mean, logvar, backend=run)

    def backward(d_logp: Array, need_x: bool = True) -> tuple[Array | None, Array, Array]:
        return gaussian_density.backward(d_logp, saved, need_x=need_x, backend=run)

    return logp, backward


def latent(
    mean: Array, logvar: Array, eps: Array
) -> tuple[Array, Array, Callable[[Array, Array], tuple[Array, Array]]]:
    """z (K, B, Z), KL to N(0, I) per dimension (B, Z); backward(dz, dkl) gives (dmean, dlogvar)."""
    run = gaussian_latent.OP.resolve(None, mean, logvar, eps)
    z, kl, saved = gaussian_latent.forward(mean, logvar, eps, backend=run)

    def backward(dz: Array, dkl: Array) -> tuple[Array, Array]:
        grads = gaussian_latent.backward(dz, dkl, saved, need_eps=False, backend=run)
        return grads[:2]

    return z, kl, backward


def sample(
    stats: Array, eps: Array
) -> tuple[Array, Array, Array, Callable[[Array, Array, Array], Array]]:
    """z = mean + exp(s) eps (K, B, Z), log q(z) and log N(z; 0, I) (K, B), for stats (B, 2 Z).

    stats: mean and s beside each other.  backward(dz, d_log_q, d_log_n) gives dstats.
    """
    run = gaussian_sample.OP.resolve(None, stats, eps)
    z, log_q, log_n, saved = gaussian_sample.forward(stats, eps, backend=run)

    def backward(dz: Array, d_log_q: Array, d_log_n: Array) -> Array:
        return gaussian_sample.backward(
            dz, d_log_q, d_log_n, saved, need_eps=False, backend=run
        )[0]  # fmt: skip

    return z, log_q, log_n, backward


def log_ratio(
    z: Array, logvar: Array, eps: Array
) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """log p(z) - log q(z) per dimension, (K, B, Z), for z = mean + exp(logvar/2) eps, p = N(0, 1).

    = ( eps^2 + logvar - z^2 ) / 2: the constants cancel, and no difference z - mean is taken,
    which would lose all digits for small variances.  backward(d) gives (dz, dlogvar).
    """
    half = logvar.dtype.type(0.5)
    ratio = half * (eps * eps + logvar - z * z)

    def backward(d: Array) -> tuple[Array, Array]:
        return -d * z, half * sum_samples(d, logvar.ndim)

    return ratio, backward


def mixture(
    z: Array, mean: Array, logvar: Array
) -> tuple[Array, Callable[[Array], tuple[Array, Array, Array]]]:
    """log 1/C sum_c N(z; mean_c, exp(logvar_c)), (K, B), for z (K, B, Z), mean (C, K, B, Z).

    backward(d) gives (dz, dmean, dlogvar).
    """
    components, back_components = gaussian(z, mean, logvar)  # (C, K, B)
    run = importance_weights.OP.resolve(None, components)
    flat = components.reshape(len(mean), -1)
    total, saved = importance_weights.forward(flat, backend=run)

    def backward(d: Array) -> tuple[Array, Array, Array]:
        seed = importance_weights.backward(d.reshape(-1), saved, backend=run)
        dz, dmean, dlogvar = back_components(seed.reshape(components.shape))
        assert dz is not None
        return dz, dmean, dlogvar

    return total.reshape(components.shape[1:]), backward
