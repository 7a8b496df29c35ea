"""Importance weighted autoencoder with L stochastic layers (Burda, Grosse & Salakhutdinov, 2016).

    log w_i  = log p(x, z_i) - log q(z_i | x),   z_i ~ q(z | x),   i = 1 .. K
    L_K      = E log( 1/K sum_i w_i )  <=  log p(x),   growing with K                 (the bound)

``estimator`` chooses the bound and how its gradient is estimated (backhand.estimators); "elbo" is
the VAE with K samples, averaged.  The layers are those of backhand.models.layered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from backhand._types import Array
from backhand.estimators import ESTIMATORS, Mixing
from backhand.grads import NO_GRAD
from backhand.model import DEFAULT_OBJECTIVES, UNWEIGHTED, Batch, Bound, Weights
from backhand.models.layered import Layered, LayeredConfig
from backhand.models.stochastic_layers import prior_of
from backhand.noise import Noise
from backhand.numerics import mean_of_samples, xp_of


@dataclass(frozen=True)
class IWAEConfig(LayeredConfig):
    """groups: M of the estimators miwae and piwae; it divides k.  beta: of ciwae.  The others are
    those of LayeredConfig.
    """

    estimator: Literal["elbo", "iwae", "stl", "dreg", "miwae", "piwae", "ciwae"] = "iwae"
    groups: int = 1
    beta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.groups < 1:
            raise ValueError(f"groups must be at least 1: {self.groups=}")
        if self.groups > 1 and self.estimator not in ("miwae", "piwae"):
            raise ValueError(f"groups has no effect with estimator {self.estimator!r}")
        if not 0 <= self.beta <= 1 or (self.beta and self.estimator != "ciwae"):
            raise ValueError(f"beta must be in [0, 1], and 0 unless for ciwae: {self.beta=}")


@dataclass
class IWAE(Layered):
    """See the module."""

    Config: ClassVar[type] = IWAEConfig
    objectives: ClassVar = DEFAULT_OBJECTIVES

    config: IWAEConfig

    def bound(
        self, batch: Batch, noise: Noise, k: int = 1, weights: Weights = UNWEIGHTED,
        seen: Array | None = None,
    ) -> Bound:  # fmt: skip
        """The estimator's bound, from k samples per datum.

        seen (k, B, *shape): what the encoder sees in each sample in place of the data.
        """
        if weights.free_bits:
            raise ValueError("iwae: free_bits belongs to the VAE's closed-form KL; leave it at 0")
        x = self._rows(batch.x)  # (B, D)
        xp = xp_of(x)
        eps = self._noise(noise, batch.index, k, x.dtype)
        shown = x if seen is None else self._rows(seen.reshape(-1, *batch.x.shape[1:]))
        shown = shown if seen is None else shown.reshape(k, *x.shape)  # (k, B, D)
        z, log_q, log_top, back_q, back_q_path = self.recognition(shown, eps)
        logp, between, back_p = self.generation(z, x)  # (k, B) each
        logp_data = logp - self._log_volume() if self.scaling else logp  # no pass without need
        kl = log_q - prior_of(log_top, between)  # (k, B)
        estimate = ESTIMATORS[self.config.estimator]
        mixing = Mixing(self.config.groups, self.config.beta)
        value, seeds = estimate(logp_data - kl, mixing)
        objective = value
        if weights != UNWEIGHTED:
            objective, seeds = estimate(weights.likelihood * logp_data - weights.kl * kl, mixing)

        def backward(
            d_objective: Array | None = None, g: Any = NO_GRAD, keep: bool = False
        ) -> None:
            d = xp.full(len(x), 1 / len(x), x.dtype) if d_objective is None else d_objective
            theta = seeds.theta * d  # (k, B)
            phi = theta if seeds.phi is seeds.theta else seeds.phi * d
            d_logp, d_prior = _weighted(theta, weights)
            dz = back_p(d_logp, d_prior, g.generation)
            if seeds.phi is not seeds.theta:
                d_logp, d_prior = _weighted(phi, weights)
                dz = back_p(d_logp, d_prior, NO_GRAD)
            if seeds.path:
                back_q_path(dz, -d_prior, d_prior, g.recognition, seeds.again)
            else:
                back_q(dz, -d_prior, d_prior, g.recognition)

        terms = {"likelihood": mean_of_samples(logp_data), "kl": mean_of_samples(kl)}
        return Bound(value, terms, objective, backward, elbo=terms["likelihood"] - terms["kl"])


def _weighted(seed: Array, weights: Weights) -> tuple[Array, Array]:
    """What the likelihood and the log-density ratio get of a seed."""
    if weights == UNWEIGHTED:
        return seed, seed
    return weights.likelihood * seed, weights.kl * seed
