"""Densities and latent variables with their own backward pass, over sample axes (K, B, ...).

Each takes the kernel that fits its arrays, and its backward uses the backend of its forward.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from backhand._types import Array
from backhand.kernels import bernoulli_logits, gaussian_density, gaussian_latent

LOG_2PI = math.log(2 * math.pi)


def bernoulli(x: Array, logits: Array) -> tuple[Array, Callable[[Array], Array]]:
    """log p(x | logits), (K, B); x (B, D) is data: backward(d_logp) gives dlogits (K, B, D)."""
    run = bernoulli_logits.OP.resolve(None, x, logits)
    logp, saved = bernoulli_logits.forward(x, logits, backend=run)

    def backward(d_logp: Array) -> Array:
        return bernoulli_logits.backward(d_logp, saved, need_x=False, backend=run)[1]

    return logp, backward


def gaussian(
    x: Array, mean: Array, logvar: Array
) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """log N(x; mean, exp(logvar)), (K, B); x (B, D) is data: backward gives (dmean, dlogvar)."""
    run = gaussian_density.OP.resolve(None, x, mean, logvar)
    logp, saved = gaussian_density.forward(x, mean, logvar, backend=run)

    def backward(d_logp: Array) -> tuple[Array, Array]:
        _, dmean, dlogvar = gaussian_density.backward(d_logp, saved, need_x=False, backend=run)
        return dmean, dlogvar

    return logp, backward


def latent(
    mean: Array, logvar: Array, eps: Array
) -> tuple[Array, Array, Callable[[Array, Array], tuple[Array, Array]]]:
    """z (K, B, Z), KL to N(0, I) per dimension (B, Z); backward(dz, dkl) gives (dmean, dlogvar)."""
    run = gaussian_latent.OP.resolve(None, mean, logvar, eps)
    z, kl, saved = gaussian_latent.forward(mean, logvar, eps, backend=run)

    def backward(dz: Array, dkl: Array) -> tuple[Array, Array]:
        dmean, dlogvar, _ = gaussian_latent.backward(dz, dkl, saved, backend=run)
        return dmean, dlogvar

    return z, kl, backward


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
        return -d * z, half * d.sum(axis=0)

    return ratio, backward
