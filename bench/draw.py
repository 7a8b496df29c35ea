"""A training step of DRAW on 28x28 pictures, batch 100: forward, backward, Adam; 256 units, Z = 10.

T = 64 with windows of 2 (read) and 5 (write), the paper's, and T = 10 with 5 and 5.  Pictures and
noise are drawn beforehand.  All multiply [input, state] by one matrix in each LSTM.  PyTorch:
eager, its cell compiled and called T times, and at T = 10 the whole unrolled graph compiled (some
minutes of compiling); JAX scans over the steps, and has all of it under one jit.

Everyone's loss and parameters are compared after each of three steps.  Adam's eps is 1e-4, so that
the rounding of a gradient near zero moves no parameter.
"""

from __future__ import annotations

import math

import numpy as np

import backhand as bh
from backhand.bench.attention import filters
from backhand.bench.harness import Case, Drawn, jax_adam, our_training

B, A, H, Z = 100, 28, 256, 10
D = A * A
BATCHES = 2
LR, EPS = 1e-3, 1e-4
STARTS = ("c", "encoder", "decoder")


def shapes(read, write):
    """Our parameters by name, in the order in which they lie."""
    r = 2 * read * read
    return {
        "start.c": (D,), "start.encoder": (H,), "start.decoder": (H,),
        "read.window.linear.W": (H, 5), "read.window.linear.b": (5,),
        "encoder.W": (r + 2 * H, 4 * H), "encoder.b": (4 * H,),
        "posterior.linear.W": (H, 2 * Z), "posterior.linear.b": (2 * Z,),
        "decoder.W": (Z + H, 4 * H), "decoder.b": (4 * H,),
        "write.window.linear.W": (H, 5), "write.window.linear.b": (5,),
        "write.stroke.W": (H, write * write), "write.stroke.b": (write * write,),
    }  # fmt: skip


def inputs(T, read, write):
    def draw(rng):
        arrays = {
            "x": (rng.random((BATCHES, B, D)) < 0.13).astype(np.float32),
            "eps": rng.standard_normal((BATCHES, T, B, Z), dtype=np.float32),
        }
        for name, shape in shapes(read, write).items():
            limit = math.sqrt(6 / sum(shape)) if len(shape) == 2 else 0.1
            arrays[name] = rng.uniform(-limit, limit, shape).astype(np.float32)
        return arrays

    return draw


def ours(T, read, write):
    def make(a):
        x, dtype = a["x"].reshape(BATCHES, B, A, A), a["x"].dtype
        config = bh.DRAWConfig(glimpses=T, read=read, write=write, hidden=H, latent=Z)
        with bh.use_backend("numpy"):  # initial weights need an op that not every backend has
            model = bh.DRAW.create(config, bh.DataSpec((A, A), "binary"), dtype=dtype)
        names = shapes(read, write)
        vector = model.params.vector
        vector[...] = np.concatenate([a[name].ravel() for name in names])
        p = {name: model.params[name] for name in names}

        def noise(i, rows):
            return Drawn(a["eps"][i][:, None, rows])

        return our_training(model, x, noise, p, LR, EPS, defer=True)

    return make


def cell(xp, sigmoid, concatenate, read, write):
    """One glimpse, in PyTorch or JAX; state: c, he, ce, hd, cd; and its KL (B,)."""

    def lstm(p, name, x, h, c):
        gates = concatenate([x, h], 1) @ p[f"{name}.W"] + p[f"{name}.b"]
        i_f, g, o = sigmoid(gates[:, : 2 * H]), xp.tanh(gates[:, 2 * H : 3 * H]), gates[:, 3 * H :]
        c = i_f[:, H:] * c + i_f[:, :H] * g
        return sigmoid(o) * xp.tanh(c), c

    def linear(p, name, h):
        return h @ p[f"{name}.W"] + p[f"{name}.b"]

    def step(p, x, state, eps):
        c, he, ce, hd, cd = state
        F_Y, F_X, gamma = filters(xp, xp.exp, linear(p, "read.window.linear", hd), read, A)
        images = xp.stack([x, x - sigmoid(c)], 1).reshape(B, 2, A, A)
        r = gamma[:, None] * (F_Y[:, None] @ images @ F_X.swapaxes(1, 2)[:, None])
        u = concatenate([r.reshape(B, -1), hd], 1)
        he, ce = lstm(p, "encoder", u, he, ce)
        q = linear(p, "posterior.linear", he)
        mean, s = q[:, :Z], q[:, Z:]
        std = xp.exp(s)
        kl = 0.5 * (mean * mean + std * std - 1 - 2 * s).sum(1)
        hd, cd = lstm(p, "decoder", mean + std * eps, hd, cd)
        F_Y, F_X, gamma = filters(xp, xp.exp, linear(p, "write.window.linear", hd), write, A)
        w = linear(p, "write.stroke", hd).reshape(B, write, write)
        c = c + (F_Y.swapaxes(1, 2) @ (w / gamma @ F_X)).reshape(B, D)
        return (c, he, ce, hd, cd), kl

    return step


def in_torch(T, read, write, compiled=""):
    def make(a):
        import torch
        from torch.nn import functional as F

        x, eps = torch.from_numpy(a["x"]), torch.from_numpy(a["eps"])
        p = {
            name: torch.from_numpy(a[name].copy()).requires_grad_() for name in shapes(read, write)
        }
        optimizer = torch.optim.Adam(p.values(), lr=LR, eps=EPS, fused=True)
        step = cell(torch, torch.sigmoid, torch.cat, read, write)
        step = torch.compile(step) if compiled == "cell" else step
        zeros = torch.zeros(B, H)

        def objective(x, eps):
            first = (p[f"start.{name}"].expand(B, -1) for name in STARTS)
            c, he, hd = first
            state, kl = (c, he, zeros, hd, zeros), 0.0
            for t in range(T):
                state, kl_t = step(p, x, state, eps[t])
                kl = kl + kl_t
            bce = F.binary_cross_entropy_with_logits(state[0], x, reduction="sum")
            return (bce + kl.sum()) / B

        run = torch.compile(objective) if compiled == "whole" else objective
        i = -1

        def train():
            nonlocal i
            i = (i + 1) % BATCHES
            loss = run(x[i], eps[i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return {"loss": loss, **p}

        return train

    return make


def in_jax(T, read, write):
    def make(a):
        import jax
        import jax.numpy as jnp

        x, eps = list(jnp.array(a["x"])), list(jnp.array(a["eps"]))
        step = cell(jnp, jax.nn.sigmoid, jnp.concatenate, read, write)

        def objective(p, x, eps):
            c, he, hd = (
                jnp.broadcast_to(p[f"start.{n}"], (B, p[f"start.{n}"].size)) for n in STARTS
            )
            zeros = jnp.zeros((B, H))
            state = c, he, zeros, hd, zeros
            state, kl = jax.lax.scan(lambda state, e: step(p, x, state, e), state, eps)
            logits = state[0]
            softplus = jnp.maximum(logits, 0) + jnp.log1p(jnp.exp(-jnp.abs(logits)))
            return ((softplus - x * logits).sum() + kl.sum()) / B

        p = {name: jnp.array(a[name]) for name in shapes(read, write)}
        train = jax_adam(objective, p, LR, EPS)
        i = -1

        def run():
            nonlocal i
            i = (i + 1) % BATCHES
            loss, p = train(x[i], eps[i])
            return {"loss": loss, **p}

        return run

    return make


def case(T, read, write, floors):
    r = 2 * read * read
    each = [(r + 2 * H, 4 * H), (Z + H, 4 * H), (H, 2 * Z), (H, 10), (H, write * write)]
    products = [(B, i, o) for i, o in each] + [(B, o, i) for i, o in each]
    filtering = []
    for N, images in ((read, 2), (write, 1)):  # forward, to the patch, to both filters
        forward, back = [(N, A, A), (N, A, N)], [(N, N, A), (N, A, A), (N, N, A)]
        filtering += images * (forward + back) + [(A, N, A)]
    deferred = [(i, T * B, o) for i, o in each]  # weight gradients, one product for all steps
    parameters = sum(math.prod(shape) for shape in shapes(read, write).values())
    kept = B * (10 * D + 24 * H + r + write * write)  # numbers read or written in a step
    peers = {"torch": in_torch(T, read, write), "jax": in_jax(T, read, write)}
    peers["torch.compile"] = in_torch(T, read, write, "cell")
    if T <= 10:
        peers["torch.compile whole graph"] = in_torch(T, read, write, "whole")
    return Case(
        name=f"draw_n{read}_t{T}",
        sizes={"B": B, "T": T, "read": read, "write": write, "H": H},
        inputs=inputs(T, read, write),
        implementations={"backhand": ours(T, read, write), **peers},
        ops=[
            "attention_read", "attention_write", "lstm_step", "gaussian_latent",
            "bernoulli_logits", "adam",
        ],
        samples=B,
        products=T * (products + B * filtering) + deferred,
        traffic=4 * (7 * parameters + T * kept),
        transcendentals=T * B * (10 * H + 2 * A * (read + write) + Z + D),
        floors=floors,
        quick=T <= 10,
        training=True,
        steps=3,
        tolerances=dict.fromkeys(shapes(read, write), 1e-3),
        pool="parts",
    )  # fmt: skip


CASES = [
    case(10, 5, 5, {"best peer": 1.2}),
    case(64, 2, 5, {"torch.compile": 1.5, "jax": 1.5, "torch": 2.0}),
]
