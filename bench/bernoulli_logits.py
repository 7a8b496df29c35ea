"""Bernoulli log-likelihood from logits with row sums, and its gradient: images of 28 x 28.

Forms tried, smallest times of one thread in ms.  PyTorch: binary_cross_entropy_with_logits 4.9,
x l - softplus(l) 6.8, logsigmoid 7.4, the gradient by hand instead of autograd 4.6; compiled 4.1,
4.8, 5.8, 3.8.  JAX: the one below 2.0, softplus 3.1, log_sigmoid 4.3, the gradient by hand 2.6.
"""

from __future__ import annotations

import numpy as np

from backhand.bench.harness import Case, jax_step, torch_step
from backhand.kernels import bernoulli_logits

B, D = 1000, 784


def inputs(rng):
    return {
        "x": (rng.random((B, D)) < 0.13).astype(np.float32),
        "logits": rng.normal(0, 2, (B, D)).astype(np.float32),
        "d_logp": rng.standard_normal(B).astype(np.float32),
    }


def ours(a):
    def step():
        logp, saved = bernoulli_logits.forward(a["x"], a["logits"])
        _, d_logits = bernoulli_logits.backward(a["d_logp"], saved, need_x=False)
        return {"logp": logp, "d_logits": d_logits}

    return step


def in_torch(x, logits):
    from torch.nn.functional import binary_cross_entropy_with_logits

    return {"logp": -binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)}


def in_jax(x, logits):
    from jax.numpy import abs, exp, log1p, maximum

    return {"logp": (x * logits - maximum(logits, 0) - log1p(exp(-abs(logits)))).sum(1)}


CASES = [
    Case(
        name="bernoulli_logits",
        sizes={"B": B, "D": D},
        inputs=inputs,
        implementations={
            "backhand": ours,
            "torch": torch_step(in_torch, wrt=["logits"]),
            "torch.compile": torch_step(in_torch, wrt=["logits"], compiled=True),
            "jax": jax_step(in_jax, wrt=["logits"]),
        },
        ops=["bernoulli_logits"],
        samples=B,
        traffic=4 * 3 * B * D,  # x and logits in, d_logits out
        transcendentals=2 * B * D,  # exp and log; the sigmoid is made of the same exp
        floors={"best peer": 2.0},
        quick=True,
    )
]
