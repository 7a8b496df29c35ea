"""One Adam update of five million parameters, gradients given."""

from __future__ import annotations

import numpy as np

from backhand.bench.harness import PARITY, Case
from backhand.kernels import adam

N = 5_000_000
LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


def inputs(rng):
    return {name: rng.standard_normal(N, dtype=np.float32) for name in ("theta", "grad")}


def ours(a):
    theta, grad = a["theta"].copy(), a["grad"]
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    t = 0

    def step():
        nonlocal t
        t += 1
        adam.update(theta, grad, m, v, lr=LR, beta1=BETA1, beta2=BETA2, eps=EPS, step=t)
        return {"theta": theta, "m": m, "v": v}

    return step


def in_torch(compiled):
    def make(a):
        import torch

        p = torch.from_numpy(a["theta"]).clone().requires_grad_()
        p.grad = torch.from_numpy(a["grad"])
        optimizer = torch.optim.Adam(
            [p], lr=LR, betas=(BETA1, BETA2), eps=EPS, fused=None if compiled else True
        )
        update = torch.compile(optimizer.step) if compiled else optimizer.step

        def step():
            update()
            state = optimizer.state[p]
            return {"theta": p, "m": state["exp_avg"], "v": state["exp_avg_sq"]}

        return step

    return make


def in_jax(a):
    import jax
    import jax.numpy as jnp

    def update(theta, m, v, grad, t):
        m = BETA1 * m + (1 - BETA1) * grad
        v = BETA2 * v + (1 - BETA2) * grad * grad
        rate = LR / (1 - BETA1**t)
        return theta - rate * m / (jnp.sqrt(v / (1 - BETA2**t)) + EPS), m, v

    compiled = jax.jit(update, donate_argnums=(0, 1, 2))
    grad = jnp.array(a["grad"])
    state = jnp.array(a["theta"]), jnp.zeros(N), jnp.zeros(N)
    t = 0

    def step():
        nonlocal state, t
        t += 1
        state = jax.block_until_ready(compiled(*state, grad, float(t)))
        return dict(zip(("theta", "m", "v"), state, strict=True))

    return step


CASES = [
    Case(
        name="adam",
        sizes={"N": N},
        inputs=inputs,
        implementations={
            "backhand": ours,
            "torch": in_torch(compiled=False),
            "torch.compile": in_torch(compiled=True),
            "jax": in_jax,
        },
        ops=["adam"],
        samples=1,
        traffic=4 * 7 * N,  # four arrays read, three written
        footprint=4 * 4 * N,
        floors={"torch": PARITY},
        quick=True,
        steps=3,
    )
]
