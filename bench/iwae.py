"""A training step of the IWAE with 1 and 2 stochastic layers, batch 20, k = 1, 5, 50, with Adam.

784-200-200-(50), and 784-200-200-(100), 100-100-100-(50) (Burda et al., 2016).  Pictures and noise
are drawn beforehand.  Everyone encodes an image once and lets the samples share it; the constants
of the densities cancel and are left out by the peers.  PyTorch's Adam is the fused one; JAX has
the whole step under one jit with donated buffers.

Everyone's loss and parameters are compared after each of three steps.  Adam divides each gradient
by its size, so the rounding of a gradient near zero would move its parameter by up to LR; hence
the eps of Burda et al., 1e-4, and a tolerance of their own, a thousandth of the largest weight.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

import backhand as bh
from backhand.bench.harness import Case, Drawn, jax_adam, our_training

B, D = 20, 784
BATCHES = 20
LR, EPS = 1e-3, 1e-4
HIDDEN = {1: (200,), 2: (200, 100)}
LATENT = {1: (50,), 2: (100, 50)}
# Three layers each, in the order of our parameters; the last gives mean and s = log std.
NETS = {
    1: {"q1": (D, 200, 200, 100), "x": (50, 200, 200, D)},
    2: {
        "q1": (D, 200, 200, 200), "q2": (100, 100, 100, 100),
        "p1": (50, 100, 100, 200), "x": (100, 200, 200, D),
    },
}  # fmt: skip


def names(layers):
    return [f"{net}_{kind}{i}" for net in NETS[layers] for i in range(3) for kind in "Wb"]


def inputs(layers, k):
    def draw(rng):
        arrays = {"x": (rng.random((BATCHES, B, D)) < 0.13).astype(np.float32)}
        for i, size in enumerate(LATENT[layers]):
            arrays[f"eps{i}"] = rng.standard_normal((BATCHES, k, B, size), dtype=np.float32)
        for net, widths in NETS[layers].items():
            for i, (n, o) in enumerate(pairwise(widths)):
                limit = math.sqrt(6 / (n + o))
                arrays[f"{net}_W{i}"] = rng.uniform(-limit, limit, (n, o)).astype(np.float32)
                arrays[f"{net}_b{i}"] = rng.uniform(-0.1, 0.1, o).astype(np.float32)
        return arrays

    return draw


def ours(layers, k):
    def make(a):
        x, dtype = a["x"], a["x"].dtype
        config = bh.IWAEConfig(hidden=HIDDEN[layers], latent=LATENT[layers])
        with bh.use_backend("numpy"):  # initial weights need an op that not every backend has
            model = bh.IWAE.create(config, bh.DataSpec((D,), "binary"), dtype=dtype)
        vector = model.params.vector
        vector[...] = np.concatenate([a[name].ravel() for name in names(layers)])
        ends = np.cumsum([a[name].size for name in names(layers)])
        p = {
            name: part.reshape(a[name].shape)
            for name, part in zip(names(layers), np.split(vector, ends[:-1]), strict=True)
        }

        def noise(i, rows):
            return Drawn([a[f"eps{layer}"][i][:, rows] for layer in range(layers)])

        return our_training(model, x, noise, p, LR, EPS, k)

    return make


def in_torch(layers, k, compiled):
    def make(a):
        import torch
        from torch.nn import functional as F

        x = torch.from_numpy(a["x"])
        eps = [torch.from_numpy(a[f"eps{i}"]).reshape(BATCHES, k * B, -1) for i in range(layers)]
        p = {name: torch.from_numpy(a[name].copy()).requires_grad_() for name in names(layers)}
        optimizer = torch.optim.Adam(p.values(), lr=LR, eps=EPS, fused=True)

        def net(name, h):
            for i in range(2):
                h = torch.tanh(torch.addmm(p[f"{name}_b{i}"], h, p[f"{name}_W{i}"]))
            return torch.addmm(p[f"{name}_b2"], h, p[f"{name}_W2"])

        def objective(x, *eps):
            mean, s = net("q1", x).repeat(k, 1).chunk(2, dim=1)
            z = mean + s.exp() * eps[0]
            log_w = (s + 0.5 * eps[0] ** 2).sum(1)
            bottom, top = z, z
            if layers == 2:
                mean, s = net("q2", z).chunk(2, dim=1)
                top = mean + s.exp() * eps[1]
                log_w = log_w + (s + 0.5 * eps[1] ** 2).sum(1)
                mean, s = net("p1", top).chunk(2, dim=1)
                log_w = log_w - (s + 0.5 * ((bottom - mean) * (-s).exp()) ** 2).sum(1)
            logits = net("x", bottom)
            target = x.repeat(k, 1)
            bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1)
            log_w = (log_w - 0.5 * (top * top).sum(1) - bce).reshape(k, B)
            if k == 1:
                return -log_w.mean()
            return math.log(k) - torch.logsumexp(log_w, 0).mean()

        run = torch.compile(objective) if compiled else objective
        i = -1

        def step():
            nonlocal i
            i = (i + 1) % BATCHES
            loss = run(x[i], *(e[i] for e in eps))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return {"loss": loss, **p}

        return step

    return make


def in_jax(layers, k):
    def make(a):
        import jax
        import jax.numpy as jnp

        x = list(jnp.array(a["x"]))
        eps = [list(jnp.array(a[f"eps{i}"]).reshape(BATCHES, k * B, -1)) for i in range(layers)]

        def net(p, name, h):
            for i in range(2):
                h = jnp.tanh(h @ p[f"{name}_W{i}"] + p[f"{name}_b{i}"])
            return h @ p[f"{name}_W2"] + p[f"{name}_b2"]

        def objective(p, x, eps):
            mean, s = jnp.split(jnp.tile(net(p, "q1", x), (k, 1)), 2, axis=1)
            z = mean + jnp.exp(s) * eps[0]
            log_w = (s + 0.5 * eps[0] ** 2).sum(1)
            bottom, top = z, z
            if layers == 2:
                mean, s = jnp.split(net(p, "q2", z), 2, axis=1)
                top = mean + jnp.exp(s) * eps[1]
                log_w = log_w + (s + 0.5 * eps[1] ** 2).sum(1)
                mean, s = jnp.split(net(p, "p1", top), 2, axis=1)
                log_w = log_w - (s + 0.5 * ((bottom - mean) * jnp.exp(-s)) ** 2).sum(1)
            logits = net(p, "x", bottom)
            softplus = jnp.maximum(logits, 0) + jnp.log1p(jnp.exp(-jnp.abs(logits)))
            log_p = (jnp.tile(x, (k, 1)) * logits - softplus).sum(1)
            log_w = (log_w - 0.5 * (top * top).sum(1) + log_p).reshape(k, B)
            if k == 1:
                return -log_w.mean()
            return math.log(k) - jax.nn.logsumexp(log_w, 0).mean()

        p = {name: jnp.array(a[name]) for name in names(layers)}
        train = jax_adam(objective, p, LR, EPS)
        i = -1

        def step():
            nonlocal i
            i = (i + 1) % BATCHES
            loss, p = train(x[i], [e[i] for e in eps])
            return {"loss": loss, **p}

        return step

    return make


def case(layers, k, floor):
    products, parameters, units, latents = [], 0, 0, 0
    for net, widths in NETS[layers].items():
        rows = B if net == "q1" else k * B
        for i, (n, o) in enumerate(pairwise(widths)):
            products += [(rows, n, o), (n, rows, o)]
            if net != "q1" or i:  # the pictures need no gradient
                products += [(rows, o, n)]
            parameters += n * o + o
        units += rows * sum(widths[1:3])
        latents += k * B * widths[-1] // 2 if net != "x" else 0
    logits = k * B * D
    return Case(
        name=f"iwae{layers}_k{k}",
        sizes={"B": B, "k": k, "layers": layers},
        inputs=inputs(layers, k),
        implementations={
            "backhand": ours(layers, k),
            "torch": in_torch(layers, k, compiled=False),
            "torch.compile": in_torch(layers, k, compiled=True),
            "jax": in_jax(layers, k),
        },
        ops=[
            "dense",
            "dense_bernoulli",
            "gaussian_sample",
            "importance_weights",
            "adam",
        ],
        samples=B,
        products=products,
        traffic=4 * (7 * parameters + 3 * logits + 6 * units + 9 * latents),
        transcendentals=units + latents + 2 * logits,
        floors={"best peer": floor},
        quick=True,
        training=True,
        steps=3,
        tolerances=dict.fromkeys(names(layers), 1e-3),
    )


CASES = [
    case(layers, k, floor) for layers in (1, 2) for k, floor in ((1, 1.5), (5, 1.5), (50, 1.2))
]
