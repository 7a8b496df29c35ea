"""Bounds of a denoising model so small that everything in it can be summed up.

x has three bits, a corruption flips each with probability 0.2: eight values of x~.  z is one
number, so that integrals over it are sums over a fine grid.

    q(z | x~) = N(1.5 W x~, 0.5^2)     p(x_j = 1 | z) = sigmoid(2 W_j z)     p(z) = N(0, 1)

    python examples/toy_bounds.py toy.png
"""

import math
import sys
from itertools import combinations_with_replacement, product

import numpy as np

X, W, FLIP, STD = np.array([1, 0, 1]), np.array([0.9, -0.7, 0.4]), 0.2, 0.5
Z, STEP = np.linspace(-9, 9, 3601, retstep=True)


def log_normal(z, mean, std):
    return -0.5 * ((z - mean) / std) ** 2 - math.log(std) - 0.5 * math.log(2 * math.pi)


def log_joint(z):
    """log p(x, z)"""
    logits = 2 * np.multiply.outer(z, W)
    return log_normal(z, 0, 1) - np.logaddexp(0, np.where(X == 1, -logits, logits)).sum(-1)


CORRUPTED = np.array(list(product([0, 1], repeat=3)))  # (8, 3)
CHANCE = np.prod(np.where(CORRUPTED == X, 1 - FLIP, FLIP), axis=1)  # p(x~ | x), (8,)
MEANS = 1.5 * CORRUPTED @ W
LOG_Q = log_normal(Z, MEANS[:, None], STD)  # (8, grid)
MIXTURE = CHANCE @ np.exp(LOG_Q)  # q~(z | x), the ideal posterior
LOG_P = log_joint(Z)


def over_z(values):
    return values.sum(-1) * STEP


def log_p():
    return math.log(over_z(np.exp(LOG_P)))


def cvae():
    """The bound with the mixture itself as posterior."""
    return over_z(MIXTURE * (LOG_P - np.log(MIXTURE)))


def dvae():
    """The bound that is trained: z and x~ drawn together."""
    return CHANCE @ over_z(np.exp(LOG_Q) * (LOG_P - LOG_Q))


def independent():
    """z ~ q~, x~ drawn anew for log q(z | x~): looks much the same, and bounds nothing."""
    return CHANCE @ over_z(MIXTURE * (LOG_P - LOG_Q))


def semi_implicit(K):
    """L_K: K more draws of x~ in the denominator (Yin & Zhou, 2018), by enumeration.

    z comes from one of the K + 1, all alike: so it may as well come from their mean.
    """
    total = 0.0
    for drawn in combinations_with_replacement(range(8), K + 1):
        counts = np.bincount(drawn, minlength=8)
        ways = math.factorial(K + 1) / math.prod(math.factorial(c) for c in counts.tolist())
        mean = (counts / (K + 1)) @ np.exp(LOG_Q)
        total += ways * np.prod(CHANCE**counts) * over_z(mean * (LOG_P - np.log(mean)))
    return total


def diwae(k, draws=200_000, seed=0):
    """E log 1/k sum_i p(x, z_i) / q(z_i | x~_i), sampled: (mean, standard error)."""
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(10):
        which = rng.choice(8, p=CHANCE, size=(draws // 10, k))
        z = MEANS[which] + STD * rng.standard_normal(which.shape)
        log_w = log_joint(z) - log_normal(z, MEANS[which], STD)
        values.append(np.logaddexp.reduce(log_w, axis=1) - math.log(k))
    flat = np.concatenate(values)
    return flat.mean(), flat.std() / math.sqrt(len(flat))


def figure(path):
    from matplotlib.figure import Figure

    ks = [0, 1, 2, 3, 4, 6, 8]
    samples = [1, 2, 5, 10, 20, 50]
    picture = Figure(figsize=(7, 4), layout="constrained")
    axes = picture.subplots()
    axes.plot([k + 1 for k in ks], [semi_implicit(k) for k in ks], "o-", label="$L_K$ at K + 1")
    axes.plot(samples, [diwae(k, 50_000)[0] for k in samples], "s-", label="DIWAE at k")
    lines = {"independent draws": independent(), "$\\log p(x)$": log_p(), "$L_{cvae}$": cvae()}
    for i, (name, value) in enumerate((lines | {"$L_{dvae}$": dvae()}).items()):
        axes.axhline(value, color=f"C{i + 2}", label=name)
    axes.set(xscale="log", xlabel="draws of the corruption", ylabel="nats")
    axes.legend(loc=(0.02, 0.42))
    picture.savefig(path, dpi=110)


if __name__ == "__main__":
    print(f"log p(x)     {log_p():.4f}")
    print(f"L_cvae       {cvae():.4f}")
    for K in (3, 1, 0):
        print(f"L_{K}          {semi_implicit(K):.4f}")
    print(f"L_dvae       {dvae():.4f}")
    print(f"independent  {independent():.4f}   no bound")
    for k in (5, 50):
        print("DIWAE k={:<3}  {:.4f} +- {:.4f}".format(k, *diwae(k)))
    if len(sys.argv) > 1:
        figure(sys.argv[1])
