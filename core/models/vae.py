"""Variational autoencoder with one stochastic layer (Kingma & Welling, ICLR 2014).

    q(z|x) = N(mean(x), diag exp(logvar(x)))      z = mean + exp(logvar/2) eps
    log p(x) >= E_q [ log p(x|z) ] - KL( q(z|x) || N(0, I) )                      (the bound)
    log w_i  = log p(x|z_i) + log p(z_i) - log q(z_i|x)                 (importance weights)

Sizes: B data, K samples, D = values per datum, H = last hidden width, Z latent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

from backhand._types import Array
from backhand.distributions import latent, log_ratio
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
)  # fmt: skip
from backhand.models.networks import Decoder, GaussianNet
from backhand.models.outputs import OutputConfig, create_output
from backhand.models.vectors import OfVectors, Scaling, output_kind, pieces, scaling_and_mean
from backhand.noise import Noise
from backhand.numerics import xp_of


@dataclass(frozen=True)
class VAEConfig(OutputConfig):
    """hidden: widths of the encoder, mirrored in the decoder; () makes both affine.

    kl: in closed form, or from the samples.  The others are those of OutputConfig.
    """

    hidden: tuple[int, ...] = (200, 200)
    latent: int = 50
    activation: Literal["tanh", "relu", "leaky_relu", "softplus", "elu", "sigmoid"] = "tanh"
    kl: Literal["analytic", "sampled"] = "analytic"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent < 1 or any(width < 1 for width in self.hidden):
            raise ValueError(f"widths must be at least 1: {self.hidden=}, {self.latent=}")
        if not self.hidden and self.activation != "tanh":
            raise ValueError(f"activation={self.activation!r} has no effect without hidden layers")


class _Latent(NamedTuple):
    """One pass through encoder and sampling: what the bound is made of."""

    z: Array  # (K, B, Z)
    kl: Array  # (B, Z)
    backward: Callable[[Array, Array, Any], None]  # (dz, dkl, g)


@dataclass
class VAE(OfVectors):
    """See the module.  ``create`` builds one; ``encoder`` and ``decoder`` are its parts."""

    Config: ClassVar[type] = VAEConfig
    objectives: ClassVar = DEFAULT_OBJECTIVES

    config: VAEConfig
    spec: DataSpec
    encoder: GaussianNet
    decoder: Decoder
    scaling: Scaling | None

    @classmethod
    def create(
        cls,
        config: VAEConfig,
        spec: DataSpec,
        x: Array | None = None,
        seed: int = 0,
        dtype: Any = "float32",
    ) -> Self:
        """A new model; ``x`` (N, *spec.shape), training data, sets output bias and scaling."""
        kind = output_kind("vae", config, spec)
        D = math.prod(spec.shape)
        initial = Initial(seed, dtype)
        scaling, mean = scaling_and_mean(kind, config, x, D, dtype)
        encoder = GaussianNet.create(
            initial, D, config.hidden, config.latent, config.activation, config.log_scale_bound
        )
        decode = MLP.create(initial, config.latent, config.hidden[::-1], config.activation)
        last = config.hidden[0] if config.hidden else config.latent
        output = create_output(kind, config, initial, last, mean)
        return cls(config, spec, encoder, Decoder(decode, output), scaling)

    # -- objective -----------------------------------------------------------------

    def bound(self, batch: Batch, noise: Noise, k: int = 1, weights: Weights = UNWEIGHTED) -> Bound:
        """The evidence lower bound, averaged over k samples per datum."""
        x = self._rows(batch.x)  # (B, D)
        xp = xp_of(x)
        q = self._latent(x, batch.index, noise, k)
        logp, back_decoder = self.decoder(q.z, x)  # (k, B)
        likelihood = logp.mean(axis=0) - self._log_volume()  # (B,)
        kl = q.kl.sum(axis=1)  # (B,)
        free = weights.free_bits
        counts = q.kl.real.mean(axis=0) > free if free else xp.ones(q.kl.shape[1], bool)  # (Z,)
        shaped = kl if not free else xp.where(counts, q.kl, q.kl.dtype.type(free)).sum(axis=1)
        objective = weights.likelihood * likelihood - weights.kl * shaped  # (B,)

        def backward(
            d_objective: Array | None = None, g: Any = NO_GRAD, keep: bool = False
        ) -> None:
            d = xp.full(len(x), 1 / len(x), x.dtype) if d_objective is None else d_objective
            d_logp = xp.broadcast_to(weights.likelihood / k * d, logp.shape)
            dz = back_decoder(d_logp, g.decoder)
            d_kl = (-weights.kl * d)[:, None] * counts
            q.backward(dz, d_kl, g.encoder)

        terms = {"likelihood": likelihood, "kl": kl}
        return Bound(likelihood - kl, terms, objective, backward, q.kl)

    def _latent(self, x: Array, index: Array, noise: Noise, k: int) -> _Latent:
        eps = noise.normal("latent", index, (self.config.latent,), k=k, dtype=x.dtype)
        q, back_encoder = self.encoder(x)  # (B, Z)
        z, kl, back_latent = latent(q.mean, q.logvar, eps)  # (k, B, Z), (B, Z)
        if self.config.kl == "analytic":
            return _Latent(
                z, kl, lambda dz, dkl, g: back_encoder(*back_latent(dz, dkl), g, need_x=False)
            )
        ratio, back_ratio = log_ratio(z, q.logvar, eps)  # (k, B, Z)

        def backward(dz: Array, dkl: Array, g: Any) -> None:
            d_ratio = xp_of(x).broadcast_to(-dkl / k, ratio.shape)
            dz_ratio, dlogvar_ratio = back_ratio(d_ratio)
            dmean, dlogvar = back_latent(dz + dz_ratio, xp_of(x).zeros_like(dkl))
            back_encoder(dmean, dlogvar + dlogvar_ratio, g, need_x=False)  # x is data: no dx

        return _Latent(z, -ratio.mean(axis=0), backward)

    def log_weights(self, batch: Batch, noise: Noise, k: int) -> Array:
        """log w of k samples per datum, (k, B); each datum is encoded once."""
        x = self._rows(batch.x)
        q, _ = self.encoder(x)
        out = xp_of(x).empty((k, len(x)), x.dtype)
        size, widest = self.config.latent, max(x.shape[1], self.config.latent, *self.config.hidden)
        for part, noise_here in pieces(k, noise, len(x) * widest):
            n = part.stop - part.start
            eps = noise_here.normal("latent", batch.index, (size,), k=n, dtype=x.dtype)
            z = latent(q.mean, q.logvar, eps)[0]  # (n, B, Z)
            ratio = log_ratio(z, q.logvar, eps)[0].sum(axis=-1)
            out[part] = self.decoder(z, x)[0] + ratio - self._log_volume()
        return out  # type: ignore[no-any-return]

    def elbo_at(
        self, q: Gaussian, batch: Batch, noise: Noise, k: int
    ) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
        """The ELBO (B,) with q (B, Z) for the encoder's; backward(d) gives (dmean, dlogvar)."""
        x = self._rows(batch.x)
        eps = noise.normal("latent", batch.index, (self.config.latent,), k=k, dtype=x.dtype)
        z, kl, back_latent = latent(q.mean, q.logvar, eps)
        logp, back_decoder = self.decoder(z, x)  # (k, B)

        def backward(d: Array) -> tuple[Array, Array]:
            xp = xp_of(x)
            dz = back_decoder(xp.broadcast_to(d / k, logp.shape), NO_GRAD)
            return back_latent(dz, xp.broadcast_to(-d[:, None], kl.shape))

        return logp.mean(axis=0) - self._log_volume() - kl.sum(axis=1), backward

    def posterior_means(self, batch: Batch, noise: Noise) -> list[Array]:
        """E_q[z | x] of each stochastic layer: here there is one, (B, Z)."""
        return [self.encode(batch).mean]

    @property
    def noise_size(self) -> int:
        """Of the standard normal noise that makes a datum: here it is z itself."""
        return self.config.latent

    def log_likelihood(self, u: Array, batch: Batch) -> tuple[Array, Callable[[Array], Array]]:
        """log p(x | u), (C, B), for noise u (C, B, Z); backward(d_logp) gives du."""
        logp, back_decoder = self.decoder(u, self._rows(batch.x))
        return logp - self._log_volume(), lambda d: back_decoder(d, NO_GRAD)

    # -- use -----------------------------------------------------------------------

    def encode(self, batch: Batch) -> Gaussian:
        """q(z|x): mean and logvar, (B, Z)."""
        return self.encoder(self._rows(batch.x))[0]

    def decode(self, z: Array) -> Array:
        """The mean of p(x|z), (n, *shape), in the data's units; z (n, Z)."""
        return self._shaped(self.decoder.output.mean(self.decoder.mlp(z)[0]))

    def sample(self, n: int, noise: Noise, given: Any = None) -> Draw:
        """n draws z ~ N(0, I), x ~ p(x|z)."""
        if given is not None:
            raise ValueError("vae generates from the prior alone; given must be None")
        index = xp_of(self.params.vector).arange(n)
        z = noise.normal("prior", index, (self.config.latent,), dtype=self.params.vector.dtype)
        h = self.decoder.mlp(z)[0]
        x = self.decoder.output.draw(h, noise, index)
        return Draw(self._shaped(x), self._shaped(self.decoder.output.mean(h)), z)

    def reconstruct(self, batch: Batch, noise: Noise) -> Array:
        """The mean of p(x|z) for one z ~ q(z|x), (B, *shape)."""
        return self.decode(self._latent(self._rows(batch.x), batch.index, noise, 1).z[0])
