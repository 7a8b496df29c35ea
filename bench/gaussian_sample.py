"""Gaussian samples with their log-densities, forward and gradient.

One sample and 50 samples of 20 data, as wide as the second stochastic layer of the
importance-weighted autoencoder.  The peers take log q(z) from eps, without z, as we do.
"""

from __future__ import annotations

import numpy as np

from backhand.bench.harness import Case, jax_step, torch_step
from backhand.kernels import gaussian_sample
from backhand.numerics import LOG_2PI


def ours(a):
    def step():
        z, log_q, log_n, saved = gaussian_sample.forward(a["stats"], a["eps"])
        d_stats, _ = gaussian_sample.backward(
            a["d_z"], a["d_log_q"], a["d_log_n"], saved, need_eps=False
        )
        return {"z": z, "log_q": log_q, "log_n": log_n, "d_stats": d_stats}

    return step


def in_torch(stats, eps):
    mean, s = stats.chunk(2, -1)
    z = mean + s.exp() * eps
    constant = 0.5 * LOG_2PI * eps.shape[-1]
    return {
        "z": z,
        "log_q": -0.5 * (eps * eps).sum(-1) - s.sum(-1) - constant,
        "log_n": -0.5 * (z * z).sum(-1) - constant,
    }


def in_jax(stats, eps):
    from jax.numpy import exp, split

    mean, s = split(stats, 2, -1)
    z = mean + exp(s) * eps
    constant = 0.5 * LOG_2PI * eps.shape[-1]
    return {
        "z": z,
        "log_q": -0.5 * (eps * eps).sum(-1) - s.sum(-1) - constant,
        "log_n": -0.5 * (z * z).sum(-1) - constant,
    }


def case(name, B, Z, K):
    lead = (K, B) if K > 1 else (B,)

    def inputs(rng):
        shapes = {
            "stats": (B, 2 * Z), "eps": (*lead, Z), "d_z": (*lead, Z), "d_log_q": lead,
            "d_log_n": lead,
        }  # fmt: skip
        return {name: rng.standard_normal(s, dtype=np.float32) for name, s in shapes.items()}

    return Case(
        name=name,
        sizes={"B": B, "Z": Z, "K": K},
        inputs=inputs,
        implementations={
            "backhand": ours,
            "torch": torch_step(in_torch, ["stats"]),
            "torch.compile": torch_step(in_torch, ["stats"], compiled=True),
            "jax": jax_step(in_jax, ["stats"]),
        },
        ops=["gaussian_sample"],
        samples=B * K,
        traffic=4 * B * (Z * (3 * K + 4) + 4 * K),  # eps, dz in, z out; stats in, dstats out; rows
        transcendentals=B * Z,
    )


CASES = [
    case("gaussian_sample", B=20, Z=50, K=1),
    case("gaussian_sample_k50", B=20, Z=50, K=50),
]
