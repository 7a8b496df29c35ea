"""Annealed importance sampling with Hamiltonian Monte Carlo, forward and in reverse.

Every model here turns standard normal noise u into x: log p(x) = log E_u p(x | u).  Between the
prior and the posterior of u stand the densities

    f_t(u) ~ N(u; 0, I) p(x | u)^b_t,   0 = b_0 < b_1 < ... < b_T = 1

and a chain u_0, u_1, ... moves from one to the next, each move leaving f_t as it is (HMC with
a test of acceptance).  Its weight,

    log w = sum_t (b_t - b_{t-1}) log p(x | u_{t-1}),      E w = p(x)            (Neal, 2001)

gives a lower bound, E log mean_c w_c <= log p(x), over any number of chains c.  For x simulated
from the model the u that made it is an exact draw from the posterior; run from there the other
way round, E 1/w = 1/p(x), and -log mean_c 1/w_c is an upper bound in expectation (Grosse,
Ghahramani & Adams, 2015: bidirectional Monte Carlo).  All step sizes are fixed beforehand, by a
run of its own (``tune``): adapting them within a chain would spoil both equalities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from backhand._types import Array
from backhand.model import Batch
from backhand.noise import Noise
from backhand.numerics import log_mean_exp, xp_of

TARGET = 0.65  # acceptance that steps are tuned for: the optimum in many dimensions (Neal, 2011)
FIRST_STEP, GAIN = 0.3, 0.2
STEEPNESS = 4.0  # of the temperatures
MOVING, TUNING = 0, 2  # layers of the noise: a run never meets the draws that tuned its steps


class Annealable(Protocol):
    """A model whose data come from standard normal noise."""

    noise_size: int

    def log_likelihood(self, u: Array, batch: Batch) -> tuple[Array, Callable[[Array], Array]]:
        """log p(x | u), (C, B), for u (C, B, U); backward(d) gives du."""
        ...


class Chains(NamedTuple):
    """What a run of C chains per datum leaves: its weights, and how often moves were accepted."""

    log_w: Array  # (C, B) float64
    acceptance: Array  # (T, B)

    def lower(self) -> Array:
        """log mean w, (B,): of forward chains a lower bound on log p(x) in expectation."""
        return log_mean_exp(self.log_w)

    def upper(self) -> Array:
        """-log mean 1/w, (B,): of reverse chains an upper bound on log p(x) in expectation."""
        return -log_mean_exp(-self.log_w)


def temperatures(count: int) -> Array:
    """b_0 .. b_T, ``count`` of them from 0 to 1: sigmoid-shaped, close together at both ends."""
    if count < 2:
        raise ValueError(f"temperatures must be at least 2, got {count}")
    t = np.linspace(-STEEPNESS, STEEPNESS, count)
    s = 1 / (1 + np.exp(-t))
    return (s - s[0]) / (s[-1] - s[0])  # type: ignore[no-any-return]


def tune(
    model: Annealable, batch: Batch, noise: Noise, betas: Array, leapfrogs: int, chains: int = 8
) -> Array:
    """Step sizes (T, B) for every move, from a run of few chains that adapts them as it goes."""
    xp = xp_of(batch.x)
    sizes: Array = xp.full((len(betas) - 1, len(batch.x)), FIRST_STEP)
    run = _Run(model, batch, noise, chains, TUNING)
    u, logp, slope = run.start()
    for t in range(1, len(betas)):
        u, logp, slope, accepted = run.move(t, betas[t], sizes[t - 1], leapfrogs, u, logp, slope)
        if t < len(sizes):
            sizes[t] = sizes[t - 1] * xp.exp(GAIN * (accepted.mean(axis=0) - TARGET))
    return sizes


def forward(
    model: Annealable, batch: Batch, noise: Noise, betas: Array, sizes: Array, leapfrogs: int,
    chains: int,
) -> Chains:  # fmt: skip
    """From the prior to the posterior.  sizes: of ``tune``."""
    run = _Run(model, batch, noise, chains)
    u, logp, slope = run.start()
    log_w, accepted = (xp_of(logp).zeros(x.shape) for x in (logp, sizes))
    for t in range(1, len(betas)):
        log_w += (betas[t] - betas[t - 1]) * logp
        if t < len(betas) - 1:  # a move behind the last weight would change nothing
            *state, rate = run.move(t, betas[t], sizes[t - 1], leapfrogs, u, logp, slope)
            u, logp, slope = state
            accepted[t - 1] = rate.mean(axis=0)
    return Chains(log_w, accepted[:-1])


def reverse(
    model: Annealable, batch: Batch, u: Array, noise: Noise, betas: Array, sizes: Array,
    leapfrogs: int, chains: int,
) -> Chains:  # fmt: skip
    """From ``u`` (B, U), the noise that made these data, back to the prior."""
    run = _Run(model, batch, noise, chains)
    u, logp, slope = run.at(xp_of(u).broadcast_to(u, (chains, *u.shape)))
    log_w, accepted = (xp_of(logp).zeros(x.shape) for x in (logp, sizes))
    for t in range(len(betas) - 1, 0, -1):
        if t < len(betas) - 1:  # the start is a draw of the posterior already
            *state, rate = run.move(t, betas[t], sizes[t - 1], leapfrogs, u, logp, slope)
            u, logp, slope = state
            accepted[t - 1] = rate.mean(axis=0)
        log_w += (betas[t] - betas[t - 1]) * logp
    return Chains(log_w, accepted[:-1])


class _Run:
    """The chains of one batch: where they start and how they move."""

    def __init__(
        self, model: Annealable, batch: Batch, noise: Noise, chains: int, layer: int = MOVING
    ) -> None:
        self.model, self.batch, self.noise = model, batch, noise
        self.chains, self.layer = chains, layer

    def start(self) -> tuple[Array, Array, Array]:
        """Draws from the prior."""
        return self.at(self._normal(0))

    def at(self, u: Array) -> tuple[Array, Array, Array]:
        """u (C, B, U), log p(x | u) (C, B) and its gradient by u."""
        logp, backward = self.model.log_likelihood(u, self.batch)
        return u, logp.astype(np.float64), backward(xp_of(logp).ones_like(logp))

    def move(
        self, t: int, beta: float, size: Array, leapfrogs: int, u: Array, logp: Array, slope: Array
    ) -> tuple[Array, Array, Array, Array]:
        """One move under N(u; 0, I) p(x | u)^beta: (u, logp, slope, probability of acceptance)."""
        xp, step = xp_of(u), size.astype(u.dtype)[:, None]  # (B, 1)
        b = u.dtype.type(beta)
        momentum = self._normal(t)  # (C, B, U)
        before = beta * logp - _square(u) - _square(momentum)
        at, at_logp, at_slope = u, logp, slope
        momentum = momentum + 0.5 * step * (b * slope - u)
        for i in range(leapfrogs):
            at, at_logp, at_slope = self.at(at + step * momentum)
            last = i == leapfrogs - 1
            momentum = momentum + (0.5 if last else 1.0) * step * (b * at_slope - at)
        after = beta * at_logp - _square(at) - _square(momentum)
        coin = self.noise._replace(step=t).uniform(
            "chain", self.batch.index, (1,), k=self.chains, layer=self.layer + 1
        )[..., 0]
        probability = xp.exp(xp.minimum(xp.nan_to_num(after - before, nan=-np.inf), 0))
        took = coin < probability  # (C, B)
        kept = took[..., None]
        return (
            xp.where(kept, at, u),
            xp.where(took, at_logp, logp),
            xp.where(kept, at_slope, slope),
            probability,
        )

    def _normal(self, t: int) -> Array:
        index, dtype = self.batch.index, self.batch.x.dtype
        noise = self.noise._replace(step=t)
        shape = (self.model.noise_size,)
        return noise.normal("chain", index, shape, k=self.chains, layer=self.layer, dtype=dtype)


def _square(u: Array) -> Array:
    half: Array = 0.5 * xp_of(u).einsum("cbu,cbu->cb", u, u, dtype=np.float64)
    return half
