"""The three products of a layer with few rows: y = x W, dx = dy W^T, dW = x^T dy.

A layer of 784 inputs of an IWAE with one and with five samples, and an LSTM of DRAW's.  The peers
have no other form: each has its BLAS.
"""

from __future__ import annotations

import numpy as np

from backhand.bench.harness import PARITY, Case, jax_step, torch_step
from backhand.kernels import matrix_product


def ours(a):
    x, W, d_y = a["x"], a["W"], a["d_y"]
    d_W = np.empty_like(W)  # a part of the gradient vector, in training

    def step():
        matrix_product.outer(x, d_y, d_W)
        y = matrix_product.times(x, W)
        return {"y": y, "d_x": matrix_product.times_transposed(d_y, W), "d_W": d_W}

    return step


def product(x, W):
    return {"y": x @ W}


def case(name, N, K, M):
    def inputs(rng):
        shapes = {"x": (N, K), "W": (K, M), "d_y": (N, M)}
        return {key: rng.standard_normal(s, dtype=np.float32) for key, s in shapes.items()}

    return Case(
        name=name,
        sizes={"N": N, "I": K, "O": M},
        inputs=inputs,
        implementations={
            "backhand": ours,
            "torch": torch_step(product, ["x", "W"]),
            "torch.compile": torch_step(product, ["x", "W"], compiled=True),
            "jax": jax_step(product, ["x", "W"]),
        },
        ops=["matrix_product"],
        samples=N,
        products=[(N, K, M), (N, M, K), (K, N, M)],
        traffic=4 * 2 * (N * K + K * M + N * M),
        floors={"best peer": PARITY},
        quick=True,
    )


CASES = [
    case("matrix_product_20", 20, 784, 200),
    case("matrix_product_100", 100, 200, 784),
    case("matrix_product_lstm", 100, 562, 1024),
]
