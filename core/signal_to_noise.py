"""Signal-to-noise ratio of a gradient estimator (Rainforth et al., ICML 2018).

With g_r = mu + noise over draws r of the latent variables, data fixed,

    SNR^2 = |mu|^2 / tr cov(g),      |mu|^2 estimated by |mean_r g_r|^2 - tr cov / R

of all the parameters of a part together.  The correction makes pure noise 0, not 1 / sqrt(R).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from backhand.device import to_host
from backhand.grads import grads_like
from backhand.model import Batch, Model
from backhand.noise import Noise
from backhand.numerics import xp_of


def signal_to_noise(
    model: Model, batch: Batch, k: int, parts: Sequence[str], draws: int = 50, seed: int = 0
) -> dict[str, float]:
    """The ratio for each of ``parts`` of the model, from ``draws`` gradients of k samples each."""
    if draws < 2:
        raise ValueError(f"draws must be at least 2, got {draws}")
    g: Any = grads_like(model)
    mean, squares = xp_of(g.vector).zeros((2, len(g.vector)))  # Welford's sums
    for r in range(1, draws + 1):
        g.zero()
        model.bound(batch, Noise(seed, step=r), k).backward(None, g)
        g.flush()
        away = g.vector - mean
        mean += away / r
        squares += away * (g.vector - mean)
    found, mean, squares = {}, to_host(mean), to_host(squares)
    for part in parts:
        where = model.params.range_of(part)
        noise = squares[where].sum() / (draws - 1)
        signal = (mean[where] ** 2).sum() - noise / draws
        found[part] = math.sqrt(max(0.0, signal) / noise) if noise > 0 else math.inf
    return found
