"""The bound of K importance weights and its gradient: batches of training and of evaluation.

The peers take logsumexp and its derivative from autograd; "torch softmax" and "jax softmax" write
the gradient by hand, from one softmax that also gives the bound.
"""

from __future__ import annotations

import math

import numpy as np

from backhand.bench.harness import Case, jax_step, torch_step
from backhand.kernels import importance_weights


def ours(a):
    def step():
        bound, saved = importance_weights.forward(a["log_w"])
        return {"bound": bound, "d_log_w": importance_weights.backward(a["d_bound"], saved)}

    return step


def in_torch(log_w):
    return {"bound": log_w.logsumexp(0) - math.log(len(log_w))}


def in_jax(log_w):
    from jax.nn import logsumexp

    return {"bound": logsumexp(log_w, axis=0) - math.log(len(log_w))}


def torch_softmax(a):
    import torch

    log_w, d_bound = torch.from_numpy(a["log_w"]), torch.from_numpy(a["d_bound"])

    def step():
        with torch.no_grad():
            total = log_w.logsumexp(0)
            d_log_w = (log_w - total).exp_().mul_(d_bound)
            return {"bound": total - math.log(len(log_w)), "d_log_w": d_log_w}

    return step


def jax_softmax(a):
    import jax
    import jax.numpy as jnp

    @jax.jit
    def both(log_w, d_bound):
        top = log_w.max(0)
        e = jnp.exp(log_w - top)
        total = e.sum(0)
        return top + jnp.log(total / len(log_w)), e * (d_bound / total)

    log_w, d_bound = jnp.asarray(a["log_w"]), jnp.asarray(a["d_bound"])

    def step():
        bound, d_log_w = jax.block_until_ready(both(log_w, d_bound))
        return {"bound": bound, "d_log_w": d_log_w}

    return step


def case(name, K, B, floor):
    def inputs(rng):
        log_w = rng.normal(-90, 5, (K, B)).astype(np.float32)
        return {"log_w": log_w, "d_bound": rng.standard_normal(B).astype(np.float32)}

    return Case(
        name=name,
        sizes={"K": K, "B": B},
        inputs=inputs,
        implementations={
            "backhand": ours,
            "torch": torch_step(in_torch, ["log_w"]),
            "torch softmax": torch_softmax,
            "torch.compile": torch_step(in_torch, ["log_w"], compiled=True),
            "jax": jax_step(in_jax, ["log_w"]),
            "jax softmax": jax_softmax,
        },
        ops=["importance_weights"],
        samples=B,
        traffic=4 * 2 * K * B,  # log_w in, its gradient out
        transcendentals=K * B,
        floors={"best peer": floor},
        quick=True,
    )


CASES = [
    case("importance_weights", K=50, B=20, floor=5.0),
    case("importance_weights_k5000", K=5000, B=256, floor=2.0),
]
