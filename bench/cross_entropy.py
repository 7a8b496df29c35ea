"""Softmax cross-entropy over a vocabulary of 20,000, with its gradient; and behind a linear layer.

``softmax_cross_entropy``: 2,560 rows of logits that are there.  "backhand workspace" writes the
gradient into an array that lives as long as the training.  "torch no autograd" writes the gradient
by hand.  ``linear_cross_entropy``: h (640, 512) through W; ours never holds the logits whole.
"""

from __future__ import annotations

import numpy as np

from backhand.bench.harness import PARITY, Case, jax_step, torch_step
from backhand.kernels import linear_cross_entropy, softmax_cross_entropy

N, V = 2560, 20_000
ROWS, H = 640, 512


def inputs(rng):
    return {
        "logits": rng.standard_normal((N, V), dtype=np.float32),
        "targets": rng.integers(0, V, N),
        "d_nll": rng.standard_normal(N).astype(np.float32),
    }


def ours(a):
    def step():
        nll, saved = softmax_cross_entropy.forward(a["logits"], a["targets"])
        return {"nll": nll, "d_logits": softmax_cross_entropy.backward(a["d_nll"], saved)}

    return step


def ours_workspace(a):
    out = np.empty_like(a["logits"])

    def step():
        nll, saved = softmax_cross_entropy.forward(a["logits"], a["targets"])
        return {"nll": nll, "d_logits": softmax_cross_entropy.backward(a["d_nll"], saved, out)}

    return step


def in_torch(logits, targets):
    from torch.nn.functional import cross_entropy

    return {"nll": cross_entropy(logits, targets, reduction="none")}


def torch_by_hand(a):
    import torch

    logits, targets, d_nll = (torch.from_numpy(a[n]) for n in ("logits", "targets", "d_nll"))
    rows = torch.arange(N)

    def step():
        with torch.no_grad():
            p = logits.softmax(1)
            nll = -p[rows, targets].log()
            p *= d_nll[:, None]
            p[rows, targets] -= d_nll
            return {"nll": nll, "d_logits": p}

    return step


def in_jax(logits, targets):
    from jax.nn import logsumexp
    from jax.numpy import take_along_axis

    picked = take_along_axis(logits, targets[:, None], axis=1)[:, 0]
    return {"nll": logsumexp(logits, axis=1) - picked}


def linear_inputs(rng):
    return {
        "h": rng.standard_normal((ROWS, H), dtype=np.float32),
        "W": rng.standard_normal((H, V), dtype=np.float32) / np.float32(H**0.5),
        "b": rng.standard_normal(V, dtype=np.float32),
        "targets": rng.integers(0, V, ROWS),
        "d_nll": rng.standard_normal(ROWS).astype(np.float32),
    }


def linear_ours(a):
    def step():
        nll, saved = linear_cross_entropy.forward(a["h"], a["W"], a["b"], a["targets"])
        d_h, d_W, d_b = linear_cross_entropy.backward(a["d_nll"], saved)
        return {"nll": nll, "d_h": d_h, "d_W": d_W, "d_b": d_b}

    return step


def linear_torch(h, W, b, targets):
    import torch

    return in_torch(torch.addmm(b, h, W), targets)


def linear_jax(h, W, b, targets):
    return in_jax(h @ W + b, targets)


WRT = ["h", "W", "b"]
CASES = [
    Case(
        name="softmax_cross_entropy",
        sizes={"N": N, "V": V},
        inputs=inputs,
        implementations={
            "backhand": ours,
            "backhand workspace": ours_workspace,
            "torch": torch_step(in_torch, ["logits"]),
            "torch no autograd": torch_by_hand,
            "torch.compile": torch_step(in_torch, ["logits"], compiled=True),
            "jax": jax_step(in_jax, ["logits"]),
        },
        ops=["softmax_cross_entropy"],
        samples=N,
        traffic=4 * 3 * N * V,  # logits in, twice; their gradient out
        transcendentals=2 * N * V,
        floors={"jax": PARITY, "torch": 2.0},
        quick=True,
    ),
    Case(
        name="linear_cross_entropy",
        sizes={"N": ROWS, "H": H, "V": V},
        inputs=linear_inputs,
        implementations={
            "backhand": linear_ours,
            "torch": torch_step(linear_torch, WRT),
            "jax": jax_step(linear_jax, WRT),
        },
        ops=["linear_cross_entropy"],
        samples=ROWS,
        products=[(ROWS, H, V), (ROWS, V, H), (H, ROWS, V)],
        traffic=4 * (2 * ROWS * H + 2 * H * V),
        transcendentals=2 * ROWS * V,
        pool="blas",
    ),
]
