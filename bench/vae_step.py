"""A training step of the VAE, 784-200-200-50, batch 100: forward, backward, Adam.

Pictures and noise are drawn beforehand.  Peers: PyTorch's fused Adam; in torch.compile the loss
is compiled; in JAX the whole step is one jit with donated buffers.  Tried and slower: compiling
PyTorch's optimiser too (7.3 ms instead of 6.2 on one thread), softplus in JAX (5.7, not 4.6).

Everyone's loss and parameters are compared after each of three steps.  Adam divides each gradient
by its size, so the rounding of a gradient near zero moves its parameter by up to LR; hence a
tolerance of their own, a thousandth of the largest weight.
"""

from __future__ import annotations

import numpy as np

import backhand as bh
from backhand.bench.harness import PARITY, Case, Drawn, jax_adam, our_training

B, D, H, Z = 100, 784, 200, 50
BATCHES = 20
LR = 1e-3
LAYERS = [(D, H), (H, H), (H, 2 * Z), (Z, H), (H, H), (H, D)]
NAMES = [f"{kind}{layer}" for layer in range(len(LAYERS)) for kind in "Wb"]
PARAMETERS = sum(i * o + o for i, o in LAYERS)


def inputs(rng):
    arrays = {
        "x": (rng.random((BATCHES, B, D)) < 0.13).astype(np.float32),
        "eps": rng.standard_normal((BATCHES, B, Z), dtype=np.float32),
    }
    for layer, (i, o) in enumerate(LAYERS):
        limit = np.sqrt(6 / (i + o))
        arrays[f"W{layer}"] = rng.uniform(-limit, limit, (i, o)).astype(np.float32)
        arrays[f"b{layer}"] = np.zeros(o, np.float32)
    return arrays


def parameters(a):
    return [a[name] for name in NAMES]


def results(loss, p):
    """The loss, and all parameters after the update."""
    return {"loss": loss, **dict(zip(NAMES, p, strict=True))}


def ours(a):
    x, dtype = a["x"], a["x"].dtype
    config = bh.VAEConfig(hidden=(H, H), latent=Z)
    with bh.use_backend("numpy"):  # initial weights need an op that not every backend has
        model = bh.VAE.create(config, bh.DataSpec((D,), "binary"), dtype=dtype)
    vector = model.params.vector
    vector[...] = np.concatenate([p.ravel() for p in parameters(a)])
    ends = np.cumsum([p.size for p in parameters(a)])
    p = {
        name: part.reshape(a[name].shape)
        for part, name in zip(np.split(vector, ends[:-1]), NAMES, strict=True)
    }

    def noise(i, rows):
        return Drawn([a["eps"][i][None, rows]])

    return our_training(model, x, noise, p, LR, 1e-8)


def in_torch(compiled):
    def make(a):
        import torch
        from torch.nn import functional as F

        x, eps = torch.from_numpy(a["x"]), torch.from_numpy(a["eps"])
        p = [torch.from_numpy(w.copy()).requires_grad_() for w in parameters(a)]
        optimizer = torch.optim.Adam(p, lr=LR, fused=True)

        def objective(x, eps):
            h = torch.tanh(torch.addmm(p[1], x, p[0]))
            h = torch.tanh(torch.addmm(p[3], h, p[2]))
            mean, s = torch.addmm(p[5], h, p[4]).chunk(2, dim=1)
            std = s.exp()
            kl = 0.5 * (mean * mean + std * std - 1 - 2 * s).sum()
            h = torch.tanh(torch.addmm(p[7], mean + std * eps, p[6]))
            h = torch.tanh(torch.addmm(p[9], h, p[8]))
            logits = torch.addmm(p[11], h, p[10])
            return (F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl) / B

        run = torch.compile(objective) if compiled else objective
        i = -1

        def step():
            nonlocal i
            i = (i + 1) % BATCHES
            loss = run(x[i], eps[i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return results(loss, p)

        return step

    return make


def in_jax(a):
    import jax.numpy as jnp

    x, eps = list(jnp.array(a["x"])), list(jnp.array(a["eps"]))

    def objective(p, x, eps):
        h = jnp.tanh(x @ p[0] + p[1])
        h = jnp.tanh(h @ p[2] + p[3])
        mean, s = jnp.split(h @ p[4] + p[5], 2, axis=1)
        std = jnp.exp(s)
        kl = 0.5 * (mean * mean + std * std - 1 - 2 * s).sum()
        h = jnp.tanh((mean + std * eps) @ p[6] + p[7])
        h = jnp.tanh(h @ p[8] + p[9])
        logits = h @ p[10] + p[11]
        softplus = jnp.maximum(logits, 0) + jnp.log1p(jnp.exp(-jnp.abs(logits)))
        return ((softplus - x * logits).sum() + kl) / B

    train = jax_adam(objective, [jnp.array(w) for w in parameters(a)], LR, 1e-8)
    i = -1

    def step():
        nonlocal i
        i = (i + 1) % BATCHES
        loss, p = train(x[i], eps[i])
        return results(loss, p)

    return step


FORWARD = [(B, i, o) for i, o in LAYERS]
TO_WEIGHTS = [(i, B, o) for i, o in LAYERS]
TO_INPUTS = [(B, o, i) for i, o in LAYERS[1:]]  # the pictures need no gradient

CASES = [
    Case(
        name="vae_step",
        sizes={"B": B, "D": D, "H": H, "Z": Z},
        inputs=inputs,
        implementations={
            "backhand": ours,
            "torch": in_torch(compiled=False),
            "torch.compile": in_torch(compiled=True),
            "jax": in_jax,
        },
        ops=["dense", "dense_bernoulli", "gaussian_latent", "adam"],
        samples=B,
        products=FORWARD + TO_WEIGHTS + TO_INPUTS,
        traffic=4 * (7 * PARAMETERS + 3 * B * D + 12 * B * H + 9 * B * Z),
        transcendentals=B * (4 * H + Z + 2 * D),
        floors={"torch": PARITY},
        quick=True,
        training=True,
        steps=3,
        tolerances=dict.fromkeys(NAMES, 1e-3),
    )
]
