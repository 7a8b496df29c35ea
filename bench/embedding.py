"""Embedding: 2,560 rows of a table for 20,000 words, and the sum of their gradients.

Words are as frequent as in text (Zipf).  The gradient of the table is dense, as an optimiser over
one vector takes it; ``backhand workspace`` adds into one that is there and has been set to zero,
as ``add_at`` of a gradient twin does.  PyTorch and JAX make it anew.  ``torch index_add`` writes
the backward by hand, beside autograd of ``F.embedding``.
"""

from __future__ import annotations

import numpy as np

from backhand.bench.harness import Case, jax_step, torch_step
from backhand.kernels import embedding

N, D, V = 2560, 512, 20_000


def inputs(rng):
    frequency = 1 / np.arange(1, V + 1)
    ids = rng.choice(V, N, p=frequency / frequency.sum())
    W, d_y = rng.standard_normal((V, D)), rng.standard_normal((N, D))
    return {"W": np.float32(W), "ids": ids.astype(np.int32), "d_y": np.float32(d_y)}


def ours(a):
    def step():
        y, saved = embedding.forward(a["W"], a["ids"])
        return {"y": y, "d_W": embedding.backward(a["d_y"], saved)}

    return step


def ours_workspace(a):
    dW = np.empty_like(a["W"])

    def step():
        y, _ = embedding.forward(a["W"], a["ids"])
        dW[...] = 0
        embedding.add_at(dW, a["ids"], a["d_y"])
        return {"y": y, "d_W": dW}

    return step


def in_torch(W, ids):
    from torch.nn.functional import embedding

    return {"y": embedding(ids, W)}


def torch_index_add(a):
    import torch

    W, ids, d_y = (torch.from_numpy(a[name]) for name in ("W", "ids", "d_y"))
    dW = torch.empty_like(W)

    def step():
        return {"y": W[ids], "d_W": dW.zero_().index_add_(0, ids, d_y)}

    return step


def in_jax(W, ids):
    return {"y": W[ids]}


CASES = [
    Case(
        name="embedding",
        sizes={"N": N, "D": D, "V": V},
        inputs=inputs,
        implementations={
            "backhand": ours,
            "backhand workspace": ours_workspace,
            "torch": torch_step(in_torch, ["W"]),
            "torch index_add": torch_index_add,
            "torch.compile": torch_step(in_torch, ["W"], compiled=True),
            "jax": jax_step(in_jax, ["W"]),
        },
        ops=["embedding"],
        samples=N,
        traffic=4 * D * (3 * N + V),  # rows out of W, y, d_y; d_W out
    )
]
