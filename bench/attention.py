"""DRAW's attention between the parameters of the window and the patch: read and write, forward
and gradient, at the sizes of the paper (28x28, N = 2 and 5, batch 100) and for 60x60, N = 8.

The read sees the image, which is data, and the error image, which has a gradient, through one
bank. Peers build both filters by broadcasting, two small batched products for each image; in the
``stacked`` forms both images go into one product, at the price of putting them side by side.
Tried without gain: einsum; batch and channel as one axis; the product with F_X first.
"""

from __future__ import annotations

import numpy as np

from backhand.bench.harness import Case, jax_step, torch_step
from backhand.kernels import attention_read, attention_write

BATCH = 100
EPS = 1e-8


def head_of(rng):
    """Windows of half the image, somewhere near the middle, with filters of one or two pixels."""
    spread, middle = np.array([0.3, 0.3, 0.5, 0.3, 0.3]), np.array([0, 0, 0.5, -0.7, 0])
    return (middle + spread * rng.standard_normal((BATCH, 5))).astype(np.float32)


def filters(xp, exp, head, N, size):
    """F_Y, F_X (B, N, size) and gamma (B, 1, 1), in any of the frameworks."""
    a, i = xp.arange(size), xp.arange(N)
    g = (size + 1) / 2 * (head[:, :2] + 1) - 1
    delta = (size - 1) / (N - 1) * exp(head[:, 3:4])
    half = (0.5 * exp(-head[:, 2]))[:, None, None]
    F = []
    for axis in (1, 0):
        mu = g[:, axis : axis + 1] + (i - (N - 1) / 2) * delta  # (B, N)
        e = exp(-half * (a - mu[:, :, None]) ** 2)
        F.append(e / (e.sum(2)[:, :, None] + EPS))
    return *F, exp(head[:, 4])[:, None, None]


def read_in(framework, N, size, stacked=False):
    def f(head, x, x_hat):
        xp = __import__("jax.numpy" if framework == "jax" else "torch", fromlist=["exp"])
        F_Y, F_X, gamma = filters(xp, xp.exp, head, N, size)
        F_X = F_X.swapaxes(1, 2)
        if stacked:
            images = xp.stack([x[:, 0], x_hat[:, 0]], 1)  # (B, 2, H, W)
            return {"r": gamma[:, None] * (F_Y[:, None] @ images @ F_X[:, None])}
        patches = [gamma * (F_Y @ image[:, 0] @ F_X) for image in (x, x_hat)]
        return {"r": xp.stack(patches, 1)}

    return f


def write_in(framework, N, size):
    def f(head, w):
        xp = __import__("jax.numpy" if framework == "jax" else "torch", fromlist=["exp"])
        F_Y, F_X, gamma = filters(xp, xp.exp, head, N, size)
        return {"c": (F_Y.swapaxes(1, 2) @ (w[:, 0] / gamma @ F_X))[:, None]}

    return f


def our_read(N):
    def make(a):
        def step():
            r, saved = attention_read.forward(a["head"], a["x"], a["x_hat"], N, EPS)
            d_head, _, d_x_hat = attention_read.backward(a["d_r"], saved, need_x=False)
            return {"r": r, "d_head": d_head, "d_x_hat": d_x_hat}

        return step

    return make


def our_write(size):
    def make(a):
        def step():
            c, saved = attention_write.forward(a["head"], a["w"], size, size, EPS)
            d_head, d_w = attention_write.backward(a["d_c"], saved)
            return {"c": c, "d_head": d_head, "d_w": d_w}

        return step

    return make


def read(name, size, N, floor):
    def inputs(rng):
        def normal(*shape):
            return rng.standard_normal(shape, dtype=np.float32)

        return {
            "head": head_of(rng),
            "x": rng.random((BATCH, 1, size, size), dtype=np.float32),
            "x_hat": normal(BATCH, 1, size, size),
            "d_r": normal(BATCH, 2, N, N),
        }

    wrt = ["head", "x_hat"]
    forward, seen = [(N, size, size), (N, size, N)], [(N, N, size), (N, size, size), (N, N, size)]
    return Case(
        name=name,
        sizes={"B": BATCH, "A": size, "N": N},
        inputs=inputs,
        implementations={
            "backhand": our_read(N),
            "torch": torch_step(read_in("torch", N, size), wrt),
            "torch stacked": torch_step(read_in("torch", N, size, True), wrt),
            "torch.compile": torch_step(read_in("torch", N, size), wrt, compiled=True),
            "jax": jax_step(read_in("jax", N, size), wrt),
            "jax stacked": jax_step(read_in("jax", N, size, True), wrt),
        },
        ops=["attention_read"],
        samples=BATCH,
        products=(2 * (forward + seen) + [(size, N, size)]) * BATCH,
        traffic=4 * BATCH * (3 * size * size + 4 * N * N),  # x, x_hat, d_x_hat; r, d_r
        transcendentals=BATCH * 2 * N * size,
        floors={"best peer": floor},
        quick=True,
    )


def write(name, size, N, floor):
    def inputs(rng):
        def normal(*shape):
            return rng.standard_normal(shape, dtype=np.float32)

        return {
            "head": head_of(rng),
            "w": normal(BATCH, 1, N, N),
            "d_c": normal(BATCH, 1, size, size),
        }

    wrt = ["head", "w"]
    mixed, painted = (N, N, size), (size, N, size)
    back = [(N, size, size), (N, size, size), (N, size, N), (N, N, size)]
    return Case(
        name=name,
        sizes={"B": BATCH, "A": size, "N": N},
        inputs=inputs,
        implementations={
            "backhand": our_write(size),
            "torch": torch_step(write_in("torch", N, size), wrt),
            "torch.compile": torch_step(write_in("torch", N, size), wrt, compiled=True),
            "jax": jax_step(write_in("jax", N, size), wrt),
        },
        ops=["attention_write"],
        samples=BATCH,
        products=[mixed, painted, *back] * BATCH,
        traffic=4 * BATCH * (2 * size * size + 2 * N * N),
        transcendentals=BATCH * 2 * N * size,
        floors={"best peer": floor},
        quick=True,
    )


CASES = [
    read("attention_read28_n2", 28, 2, 2.0),
    read("attention_read28_n5", 28, 5, 2.0),
    write("attention_write28_n5", 28, 5, 2.0),
    read("attention_read60_n8", 60, 8, 1.5),
    write("attention_write60_n8", 60, 8, 1.5),
]
