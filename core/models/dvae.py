"""Denoising variational autoencoder (Im, Ahn, Memisevic & Bengio, AAAI 2017), with L layers.

    x~_i ~ p(x~ | x),   z_i ~ q(z | x~_i),   i = 1 .. K, jointly
    L_dvae  = E 1/K sum_i [ log p(x, z_i) - log q(z_i | x~_i) ]  <=  log p(x)      (elbo)
    L_diwae = E log 1/K sum_i p(x, z_i) / q(z_i | x~_i)          <=  log p(x)      (iwae)

It is the importance weighted autoencoder whose encoder sees corrupted data; what is explained is
the clean x.  ``corrupt`` makes what the encoder sees, training hands it to ``bound``; nobody else
does, so every validation and evaluation is of clean data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from backhand._types import Array
from backhand.corruptions import corrupt
from backhand.distributions import gaussian, mixture
from backhand.grads import NO_GRAD
from backhand.model import Batch, Gaussian
from backhand.models.iwae import IWAE, IWAEConfig
from backhand.models.stochastic_layers import prior_of
from backhand.noise import Noise
from backhand.numerics import xp_of


@dataclass(frozen=True)
class DVAEConfig(IWAEConfig):
    """corruption, level: see backhand.corruptions.  The others are those of IWAEConfig."""

    decoder_depth: int = 1
    activation: Literal["tanh", "relu", "leaky_relu", "softplus", "elu", "sigmoid"] = "softplus"
    estimator: Literal["elbo", "iwae", "stl", "dreg", "miwae", "piwae", "ciwae"] = "elbo"
    corruption: Literal["salt_and_pepper", "salt_and_pepper_authors", "zero_mask", "gaussian"] = (
        "salt_and_pepper"
    )
    level: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level < 0 or (self.corruption != "gaussian" and self.level > 1):
            raise ValueError(
                f"level must be 0 or more, and a probability unless for gaussian: {self.level=}"
            )


@dataclass
class DVAE(IWAE):
    """See the module."""

    Config: ClassVar[type] = DVAEConfig

    config: DVAEConfig

    def corrupt(self, batch: Batch, noise: Noise, k: int) -> Array:
        """What the encoder sees in training, (k, B, *shape): a corruption for each sample."""
        return corrupt(self.config.corruption, self.config.level, batch.x, batch.index, noise, k)

    def semi_implicit(self, batch: Batch, noise: Noise, draws: int, k: int = 1) -> Array:
        """L_K of Yin & Zhou (ICML 2018) under the training corruption, (B,), K = ``draws``.

        In place of q(z_1 | x~) stands the mean over x~ and K more draws of it; with none it is
        L_dvae, with ever more L_cvae.  Averaged over k samples.
        """
        x = self._rows(batch.x)
        seen = self.corrupt(batch, noise, (draws + 1) * k)
        shown = self._rows(seen.reshape(-1, *batch.x.shape[1:])).reshape(draws + 1, k, *x.shape)
        stats, _ = self.recognition.nets[0].stats(shown)  # (K + 1, k, B, 2 Z_1)
        mean, s = xp_of(x).split(stats, 2, axis=-1)
        q = Gaussian(mean, s + s)
        eps = self._noise(noise, batch.index, k, x.dtype)
        z, log_q, log_top, *_ = self.recognition(x, eps, (stats[0], NO_GRAD))
        log_q = log_q - gaussian(z[0], q.mean[0], q.logvar[0])[0] + mixture(z[0], *q)[0]  # (k, B)
        logp, between, _ = self.generation(z, x)
        log_prior = prior_of(log_top, between)
        bound: Array = (logp + log_prior - log_q).mean(axis=0) - self._log_volume()
        return bound
