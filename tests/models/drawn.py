"""What the tests of models with attention share: small models, numeric gradients, the equations."""

from dataclasses import replace

import numpy as np

import backhand as bh
from backhand.model import UNWEIGHTED, Batch, DataSpec, Weights
from backhand.models.draw import DRAW, DRAWConfig
from backhand.noise import Noise

B = 5
ATTENTIVE = DRAWConfig(glimpses=3, read=3, write=2, hidden=4, latent=2)
REAL = replace(ATTENTIVE, output="gaussian", std=0.7)
CONFIGS = {  # options, shape of a picture
    "attention": (ATTENTIVE, (5, 4)),
    "none": (replace(ATTENTIVE, read=0, write=0), (3, 3)),
    "read alone": (replace(ATTENTIVE, write=0), (4, 5)),
    "write alone": (replace(ATTENTIVE, read=0), (4, 5)),
    "one glimpse": (replace(ATTENTIVE, glimpses=1, hidden=3), (4, 5)),
    "colour": (replace(ATTENTIVE, log_scale_bound=1.0), (4, 3, 3)),
    "colour, none": (replace(ATTENTIVE, read=0, write=0), (2, 3, 2)),
    "gaussian": (REAL, (4, 4)),
    "gaussian, fixed": (replace(REAL, variance="fixed", write=0), (4, 3)),
    "recomputed": (replace(ATTENTIVE, recompute=2), (4, 5)),
}
WEIGHTED = Weights(likelihood=1.3, kl=0.4, free_bits=0.02)


def make(config=ATTENTIVE, shape=(7, 5), dtype="float64", spread=0.3, n=B):
    """A model away from its initial values, and a batch."""
    rng = np.random.default_rng(0)
    real = config.output == "gaussian"
    x = rng.normal(2, 3, (n, *shape)) if real else (rng.random((n, *shape)) < 0.4).astype(float)
    spec = DataSpec(shape, "real" if real else "binary")
    model = DRAW.create(config, spec, x, seed=1, dtype=dtype)
    vector = model.params.vector
    vector += (spread * rng.standard_normal(vector.size)).astype(dtype)
    return model, Batch(x.astype(dtype), np.arange(n))


def gradient(model, batch, cotangent=None, weights=UNWEIGHTED, k=1, defer=False):
    g = bh.grads_like(model, defer=defer)
    model.bound(batch, Noise(1, 2), k, weights).backward(cotangent, g)
    g.flush()
    return g.vector.copy()


def complex_step(f, model):
    """The derivative of f (real numbers) by each parameter."""
    columns = []
    for i in range(model.params.vector.size):
        vector = model.params.vector.astype(complex)
        vector[i] += 1e-30j
        columns.append(f(model.over(vector)).imag / 1e-30)
    return np.array(columns)


# -- the paper's equations ---------------------------------------------------------------


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def filters(head, N, A, B):
    """F_X (N, A), F_Y (N, B) and gamma of one datum as the paper has them: counted from 1.

    A columns, B rows; with the constant 1e-8 that keeps 0/0 away.
    """
    gx, gy, log_s2, log_d, log_gamma = head
    g_X, g_Y = (A + 1) / 2 * (gx + 1), (B + 1) / 2 * (gy + 1)
    delta = (max(A, B) - 1) / (N - 1) * np.exp(log_d)
    found = []
    for g, size in ((g_X, A), (g_Y, B)):
        F = np.empty((N, size))
        for i in range(1, N + 1):
            mu = g + (i - N / 2 - 0.5) * delta
            for a in range(1, size + 1):
                F[i - 1, a - 1] = np.exp(-((a - mu) ** 2) / (2 * np.exp(log_s2)))
        found.append(F / (F.sum(axis=1, keepdims=True) + 1e-8))
    return *found, np.exp(log_gamma)


def lstm(cell, x, h, c):
    i, f, g, o = np.split(x @ cell.Wx + h @ cell.Wh + cell.b, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c
