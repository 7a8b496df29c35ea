"""Importance weighted autoencoder with L stochastic layers (Burda, Grosse & Salakhutdinov, 2016).

    q(z | x) = q(z_1 | x) q(z_2 | z_1) ...     p(x, z) = p(z_L) ... p(z_1 | z_2) p(x | z_1)
    log w_i  = log p(x, z_i) - log q(z_i | x),   z_i ~ q(z | x),   i = 1 .. K
    L_K      = E log( 1/K sum_i w_i )  <=  log p(x),   growing with K                 (the bound)

``estimator`` chooses the bound and how its gradient is estimated (backhand.estimators); "elbo" is
the VAE with K samples, averaged.  Sizes: B data, K samples, D values per datum, Z_l latent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np

from backhand._types import Array
from backhand.estimators import ESTIMATORS, Mixing
from backhand.grads import NO_GRAD
from backhand.layers import MLP, Initial
from backhand.model import (
    DEFAULT_OBJECTIVES,
    UNWEIGHTED,
    Batch,
    Bound,
    DataSpec,
    Draw,
    Gaussian,
    Weights,
)
from backhand.models.networks import Decoder, GaussianNet
from backhand.models.outputs import create_output
from backhand.models.stochastic_layers import Generation, Recognition
from backhand.models.vectors import (
    OfVectors,
    OutputConfig,
    Scaling,
    output_kind,
    pieces,
    scaling_and_mean,
)
from backhand.noise import Noise
from backhand.numerics import xp_of


@dataclass(frozen=True)
class IWAEConfig(OutputConfig):
    """hidden, latent: widths, one entry for each stochastic layer, from the data up.

    depth: hidden layers in each network; decoder_depth: in those of p, 0: as many.  groups: M
    of the estimators miwae and piwae; it divides k.  beta: of ciwae.  The others are those of
    OutputConfig.
    """

    hidden: tuple[int, ...] = (200,)
    latent: tuple[int, ...] = (50,)
    depth: int = 2
    decoder_depth: int = 0
    activation: Literal["tanh", "relu", "leaky_relu", "softplus", "elu", "sigmoid"] = "tanh"
    estimator: Literal["elbo", "iwae", "stl", "dreg", "miwae", "piwae", "ciwae"] = "iwae"
    groups: int = 1
    beta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.latent or len(self.hidden) != len(self.latent):
            raise ValueError(
                "hidden and latent have one entry for each stochastic layer: "
                f"{self.hidden=}, {self.latent=}"
            )
        if min(*self.hidden, *self.latent, self.depth, self.groups) < 1 or self.decoder_depth < 0:
            raise ValueError(
                "widths, depth and groups must be at least 1, decoder_depth 0 or more: "
                f"{self.hidden=}, {self.latent=}, {self.depth=}, {self.groups=}, "
                f"{self.decoder_depth=}"
            )
        if self.groups > 1 and self.estimator not in ("miwae", "piwae"):
            raise ValueError(f"groups has no effect with estimator {self.estimator!r}")
        if not 0 <= self.beta <= 1 or (self.beta and self.estimator != "ciwae"):
            raise ValueError(f"beta must be in [0, 1], and 0 unless for ciwae: {self.beta=}")


@dataclass
class IWAE(OfVectors):
    """See the module.  ``create`` builds one; ``recognition`` and ``generation`` are its parts."""

    Config: ClassVar[type] = IWAEConfig
    objectives: ClassVar = DEFAULT_OBJECTIVES

    config: IWAEConfig
    spec: DataSpec
    recognition: Recognition
    generation: Generation
    scaling: Scaling | None

    @classmethod
    def create(
        cls,
        config: IWAEConfig,
        spec: DataSpec,
        x: Array | None = None,
        seed: int = 0,
        dtype: Any = "float32",
    ) -> Self:
        """A new model; ``x`` (N, *spec.shape), training data, sets output bias and scaling."""
        kind = output_kind(cls.__name__.lower(), config, spec)
        D = math.prod(spec.shape)
        initial = Initial(seed, dtype)
        scaling, mean = scaling_and_mean(kind, config, x, D, dtype)

        def net(inputs: int, widths: list[int], outputs: int) -> GaussianNet:
            bound = config.log_scale_bound
            return GaussianNet.create(initial, inputs, widths, outputs, config.activation, bound)

        latent = config.latent
        up_widths = [[width] * config.depth for width in config.hidden]
        widths = [[width] * (config.decoder_depth or config.depth) for width in config.hidden]
        up = [net(i, w, z) for i, w, z in zip((D, *latent), up_widths, latent, strict=False)]
        down = [net(z, w, o) for z, w, o in zip(latent[1:], widths[1:], latent, strict=False)]
        mlp = MLP.create(initial, latent[0], widths[0], config.activation)
        output = create_output(
            kind,
            config.variance,
            initial,
            config.hidden[0],
            mean,
            config.std,
            config.log_scale_bound,
        )
        generation = Generation(tuple(down), Decoder(mlp, output))
        return cls(config, spec, Recognition(tuple(up)), generation, scaling)

    # -- objective -----------------------------------------------------------------

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
        z, log_q, back_q, back_q_path = self.recognition(shown, eps)
        logp, log_prior, back_p = self.generation(z, x)  # (k, B) each
        logp_data, kl = logp - self._log_volume(), log_q - log_prior  # (k, B)
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
            theta, phi = seeds.theta * d, seeds.phi * d  # (k, B)
            dz = back_p(weights.likelihood * theta, weights.kl * theta, g.generation)
            if seeds.phi is not seeds.theta:
                dz = back_p(weights.likelihood * phi, weights.kl * phi, NO_GRAD)
            if seeds.path:
                back_q_path(dz, -weights.kl * phi, g.recognition, seeds.again)
            else:
                back_q(dz, -weights.kl * phi, g.recognition)

        terms = {"likelihood": logp_data.mean(axis=0), "kl": kl.mean(axis=0)}
        return Bound(value, terms, objective, backward, elbo=terms["likelihood"] - terms["kl"])

    def log_weights(self, batch: Batch, noise: Noise, k: int) -> Array:
        """log w of k samples per datum, (k, B); each datum is encoded once."""
        x = self._rows(batch.x)
        first = self.recognition.nets[0](x)
        out = xp_of(x).empty((k, len(x)), x.dtype)
        widest = max(x.shape[1], *self.config.latent, *self.config.hidden)
        for part, noise_here in pieces(k, noise, len(x) * widest):
            eps = self._noise(noise_here, batch.index, part.stop - part.start, x.dtype)
            z, log_q, *_ = self.recognition(x, eps, first)
            logp, log_prior, _ = self.generation(z, x)
            out[part] = logp + log_prior - log_q - self._log_volume()
        return out  # type: ignore[no-any-return]

    def _noise(self, noise: Noise, index: Array, k: int, dtype: Any) -> list[Array]:
        return [
            noise.normal("latent", index, (size,), k=k, layer=i, dtype=dtype)
            for i, size in enumerate(self.config.latent)
        ]

    @property
    def noise_size(self) -> int:
        """Of the standard normal noise that makes a datum: one number for each latent one."""
        return sum(self.config.latent)

    def log_likelihood(self, u: Array, batch: Batch) -> tuple[Array, Callable[[Array], Array]]:
        """log p(x | u), (C, B), for noise u (C, B, U); backward(d_logp) gives du."""
        xp, x = xp_of(u), self._rows(batch.x)
        ends = np.cumsum(self.config.latent)[:-1]
        z, back_draw = self.generation.draw(xp.split(u, ends, axis=-1))
        logp, back_decoder = self.generation.decoder(z, x)

        def backward(d_logp: Array) -> Array:
            return xp.concatenate(back_draw(back_decoder(d_logp, NO_GRAD)), axis=-1)  # type: ignore[no-any-return]

        return logp - self._log_volume(), backward

    # -- use -----------------------------------------------------------------------

    def encode(self, batch: Batch) -> Gaussian:
        """q(z_1 | x): mean and logvar, (B, Z_1)."""
        return self.recognition.nets[0](self._rows(batch.x))[0]

    def decode(self, z: Array) -> Array:
        """The mean of p(x | z_1), (n, *shape), in the data's units; z (n, Z_1)."""
        decoder = self.generation.decoder
        return self._shaped(decoder.output.mean(decoder.mlp(z)[0]))

    def sample(self, n: int, noise: Noise, given: Any = None) -> Draw:
        """n draws, from the top layer down."""
        if given is not None:
            raise ValueError("iwae generates from the prior alone; given must be None")
        index, dtype = np.arange(n), self.params.vector.dtype
        eps = [
            noise.normal("prior", index, (size,), layer=i, dtype=dtype)
            for i, size in enumerate(self.config.latent)
        ]
        z, _ = self.generation.draw(eps)  # (n, Z_1)
        decoder = self.generation.decoder
        h = decoder.mlp(z)[0]
        x = decoder.output.draw(h, noise, index)
        return Draw(self._shaped(x), self._shaped(decoder.output.mean(h)))

    def reconstruct(self, batch: Batch, noise: Noise) -> Array:
        """The mean of p(x | z_1) for one z_1 ~ q(z_1 | x), (B, *shape)."""
        x = self._rows(batch.x)
        z, *_ = self.recognition(x, self._noise(noise, batch.index, 1, x.dtype))
        return self.decode(z[0][0])
