"""How much of the gap is the encoder's: posteriors fitted to each datum by itself.

    log p(x) - L[q]  =  ( log p(x) - L[q*] )  +  ( L[q*] - L[q] )
                          approximation           amortisation

q is what the encoder says, q* the best Gaussian of its family for that one datum (Cremer, Li &
Duvenaud, ICML 2018).  Here q* starts at q and climbs the bound by Adam.  Of a model with several
stochastic layers the first, q(z_1 | x), is fitted, the others stay as they are; of one that draws
in steps every q(z_t | x, z_<t), whose mean and logvar are moved, whatever z_<t.  A climb that
ends too early takes from amortisation and gives to approximation; L[q*] is a lower bound anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from backhand._types import Array
from backhand.model import Batch, Gaussian
from backhand.noise import Noise
from backhand.numerics import xp_of
from backhand.optim import make_optimizer
from backhand.schedules import learning_rate

RATE = 0.1


class Amortised(Protocol):
    """A model with an encoder that can be stood in for."""

    def encode(self, batch: Batch) -> Gaussian: ...

    def elbo_at(
        self, q: Gaussian, batch: Batch, noise: Noise, k: int
    ) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
        """The ELBO (B,) with q, as from ``encode``, for it; backward(d) gives (dmean, dlogvar)."""
        ...


def fit_posterior(
    model: Amortised, batch: Batch, noise: Noise, steps: int = 500, k: int = 8
) -> Gaussian:
    """q*, shaped as ``encode`` has it: after ``steps`` of Adam from there, each with k samples."""
    q = model.encode(batch)
    xp = xp_of(q.mean)
    both = xp.stack([q.mean, q.logvar])  # (2, B, Z)
    vector, ones = both.reshape(-1), xp.ones(len(q.mean), q.mean.dtype)
    optimizer = make_optimizer("adam", vector.size, vector.dtype, xp=xp)
    for step in range(1, steps + 1):
        fresh = noise._replace(step=noise.step + step)
        _, backward = model.elbo_at(Gaussian(*both), batch, fresh, k)
        gradient = -xp.stack(backward(ones)).reshape(-1)
        optimizer.step(vector, gradient, learning_rate("cosine", step, steps, RATE))
    return Gaussian(*both)
