"""Reparameterised samples and the KL to N(0, I), forward and gradient.

One sample of DRAW's width, and the 50 samples of 20 data of the importance-weighted autoencoder.
Tried without gain: torch.addcmul, exp(logvar) in place of std * std.
"""

from __future__ import annotations

import numpy as np

from backhand.bench.harness import Case, jax_step, torch_step
from backhand.kernels import gaussian_latent


def ours(a):
    def step():
        z, kl, saved = gaussian_latent.forward(a["mean"], a["logvar"], a["eps"])
        d_mean, d_logvar, _ = gaussian_latent.backward(a["d_z"], a["d_kl"], saved, need_eps=False)
        return {"z": z, "kl": kl, "d_mean": d_mean, "d_logvar": d_logvar}

    return step


def in_torch(mean, logvar, eps):
    std = (0.5 * logvar).exp()
    return {"z": mean + std * eps, "kl": 0.5 * (mean * mean + std * std - 1 - logvar)}


def in_jax(mean, logvar, eps):
    from jax.numpy import exp

    std = exp(0.5 * logvar)
    return {"z": mean + std * eps, "kl": 0.5 * (mean * mean + std * std - 1 - logvar)}


def case(name, B, Z, K):
    shape = (B, Z)
    samples = (K, *shape) if K > 1 else shape

    def inputs(rng):
        shapes = {"mean": shape, "logvar": shape, "eps": samples, "d_z": samples, "d_kl": shape}
        return {name: rng.standard_normal(s, dtype=np.float32) for name, s in shapes.items()}

    wrt = ["mean", "logvar"]
    return Case(
        name=name,
        sizes={"B": B, "Z": Z, "K": K},
        inputs=inputs,
        implementations={
            "backhand": ours,
            "torch": torch_step(in_torch, wrt),
            "torch.compile": torch_step(in_torch, wrt, compiled=True),
            "jax": jax_step(in_jax, wrt),
        },
        ops=["gaussian_latent"],
        samples=B * K,
        traffic=4 * B * Z * (3 * K + 6),  # eps, dz in, z out; mean, logvar, dkl in, three out
        transcendentals=B * Z,
        floors={"best peer": 2.0},
        quick=True,
    )


CASES = [
    case("gaussian_latent", B=100, Z=100, K=1),
    case("gaussian_latent_k50", B=20, Z=50, K=50),
]
