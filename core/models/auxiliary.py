"""VAE with a learned stochastic layer in its encoder: q(z | x) = integral of q(z | h) q(h | x).

A mixture of Gaussians without end, richer than one.  h ~ q(h | x), z ~ q(z | h), and one of

    joint          L_0 = E[ log p(x, z) - log q(z | h) ]
    semi_implicit  L_K = E[ log p(x, z) - log 1/(K+1) ( q(z | h) + sum_k q(z | h_k) ) ],
                         h_k ~ q(h | x) drawn besides         (Yin & Zhou, ICML 2018)
    auxiliary      L_r = E[ log p(x, z) + log r(h | z, x) - log q(z | h) - log q(h | x) ]
                                          (Ranganath, Tran & Blei, 2016; Maaloe et al., 2016)

L_0 <= L_K <= L_{K+1} <= E[ log p(x, z) - log q(z | x) ] <= log p(x); L_r reaches the last but one
where r is q(h | z, x).  docs/more-stochastic-layers.md says which orders are theorems.

Sizes: B data, k samples, D values per datum, H auxiliary, Z latent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

from backhand._types import Array
from backhand.distributions import gaussian, latent, mixture
from backhand.grads import NO_GRAD
from backhand.layers import MLP, Initial
from backhand.model import UNWEIGHTED, Batch, Bound, DataSpec, Gaussian, Weights
from backhand.models.networks import Decoder, GaussianNet
from backhand.models.outputs import OutputConfig, create_output
from backhand.models.vae import VAE
from backhand.models.vectors import output_kind, pieces, scaling_and_mean
from backhand.noise import Noise
from backhand.numerics import log_standard_normal, sum_samples, xp_of


@dataclass(frozen=True)
class AuxiliaryVAEConfig(OutputConfig):
    """hidden: widths of every network, mirrored in the decoder.  auxiliary: width of h.

    criterion: see the module; draws: K of semi_implicit.  The others are those of OutputConfig.
    """

    hidden: tuple[int, ...] = (200,)
    auxiliary: int = 50
    latent: int = 50
    activation: Literal["tanh", "relu", "leaky_relu", "softplus", "elu", "sigmoid"] = "tanh"
    criterion: Literal["joint", "semi_implicit", "auxiliary"] = "auxiliary"
    draws: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.latent, self.auxiliary, *self.hidden) < 1:
            raise ValueError(
                f"widths must be at least 1: {self.hidden=}, {self.auxiliary=}, {self.latent=}"
            )
        if (self.draws > 0) != (self.criterion == "semi_implicit") or self.draws < 0:
            raise ValueError(
                "draws must be 1 or more for semi_implicit, else 0: "
                f"{self.draws=}, {self.criterion=}"
            )


@dataclass
class Encoder:
    """q(h | x) and q(z | h)."""

    first: GaussianNet
    second: GaussianNet


class _Sampled(NamedTuple):
    z: Array  # (k, B, Z)
    log_q: Array  # (k, B): all that is subtracted, - log r included
    backward: Callable[[Array, Array, Any], tuple[Array, Array]]  # (dz, d_log_q, g)


@dataclass
class AuxiliaryVAE(VAE):
    """See the module; its parts are ``encoder``, ``decoder`` and, for "auxiliary", ``reverse``."""

    Config: ClassVar[type] = AuxiliaryVAEConfig

    config: AuxiliaryVAEConfig  # type: ignore[assignment]
    encoder: Encoder  # type: ignore[assignment]
    reverse: GaussianNet | None

    @classmethod
    def create(
        cls, config: Any, spec: DataSpec, x: Array | None = None, seed: int = 0,
        dtype: Any = "float32",
    ) -> Self:  # fmt: skip
        """A new model; ``x`` (N, *spec.shape), training data, sets output bias and scaling."""
        kind, D = output_kind("auxiliary-vae", config, spec), math.prod(spec.shape)
        initial = Initial(seed, dtype)
        scaling, mean = scaling_and_mean(kind, config, x, D, dtype)
        hidden, H, Z = config.hidden, config.auxiliary, config.latent

        def net(inputs: int, outputs: int) -> GaussianNet:
            bound = config.log_scale_bound
            return GaussianNet.create(initial, inputs, hidden, outputs, config.activation, bound)

        encoder = Encoder(net(D, H), net(H, Z))
        decode = MLP.create(initial, Z, hidden[::-1], config.activation)
        last = hidden[0] if hidden else Z
        output = create_output(kind, config, initial, last, mean)
        reverse = net(Z + D, H) if config.criterion == "auxiliary" else None
        return cls(config, spec, encoder, Decoder(decode, output), scaling, reverse)

    def bound(self, batch: Batch, noise: Noise, k: int = 1, weights: Weights = UNWEIGHTED) -> Bound:
        """The criterion, averaged over k samples per datum."""
        if weights.free_bits:
            raise ValueError("auxiliary-vae has no KL in closed form; leave free_bits at 0")
        x = self._rows(batch.x)
        xp = xp_of(x)
        q, back_first = self.encoder.first(x)  # (B, H)
        sampled = self._sample(x, q, batch.index, noise, k)
        z = sampled.z
        logp, back_decoder = self.decoder(z, x)  # (k, B)
        likelihood = logp.mean(axis=0) - self._log_volume()
        log_prior = log_standard_normal(z)
        kl = (sampled.log_q - log_prior).mean(axis=0)
        objective = weights.likelihood * likelihood - weights.kl * kl

        def backward(
            d_objective: Array | None = None, g: Any = NO_GRAD, keep: bool = False
        ) -> None:
            d = xp.full(len(x), 1 / len(x), x.dtype) if d_objective is None else d_objective
            d = xp.broadcast_to(d / k, logp.shape)
            dz = back_decoder(weights.likelihood * d, g.decoder)
            dz = dz - weights.kl * d[..., None] * z
            dq = sampled.backward(dz, -weights.kl * d, g)
            back_first(*dq, g.encoder.first, need_x=False)

        terms = {"likelihood": likelihood, "kl": kl}
        return Bound(likelihood - kl, terms, objective, backward)

    def _sample(self, x: Array, q: Gaussian, index: Array, noise: Noise, k: int) -> _Sampled:
        """h and z with what they cost; z is of the first h, the others stand beside it."""
        xp, count, config = xp_of(x), self.config.draws + 1, self.config
        eps_h = xp.stack(
            [
                noise.normal("latent", index, (config.auxiliary,), k=k, layer=2 * i, dtype=x.dtype)
                for i in range(count)
            ]
        )  # (K + 1, k, B, H)
        eps_z = noise.normal("latent", index, (config.latent,), k=k, layer=1, dtype=x.dtype)
        h, _, back_h = latent(q.mean, q.logvar, eps_h)
        given_h, back_second = self.encoder.second(h)  # (K + 1, k, B, Z)
        z, _, back_z = latent(given_h.mean[0], given_h.logvar[0], eps_z)  # (k, B, Z)
        log_q, back_mixture = mixture(z, *given_h)  # (k, B)
        if self.reverse is not None:
            log_q_h = log_standard_normal(eps_h[0]) - 0.5 * q.logvar.sum(axis=-1)
            both = xp.concatenate([z, xp.broadcast_to(x, (k, *x.shape))], axis=-1)
            r, back_reverse = self.reverse(both)
            log_r, back_r = gaussian(h[0], *r)
            log_q = log_q + log_q_h - log_r

        def backward(dz: Array, d: Array, g: Any) -> tuple[Array, Array]:
            """The gradient by q(h | x): (dmean, dlogvar), (B, H) each."""
            dz_q, dmean, dlogvar = back_mixture(d)
            dz, dh_r = dz + dz_q, None
            if self.reverse is not None:
                dh_r, *dr = back_r(-d)
                dz = dz + back_reverse(*dr, g.reverse)[..., : config.latent]
            dmean_0, dlogvar_0 = back_z(dz, xp.zeros_like(given_h.mean[0]))
            dmean[0] += dmean_0
            dlogvar[0] += dlogvar_0
            dh = back_second(dmean, dlogvar, g.encoder.second)
            if dh_r is None:
                return back_h(dh, xp.zeros_like(q.mean))
            dh[0] += dh_r
            dq_mean, dq_logvar = back_h(dh, xp.zeros_like(q.mean))
            each = xp.broadcast_to(-0.5 * d[..., None], eps_h[0].shape)
            return dq_mean, dq_logvar + sum_samples(each, q.logvar.ndim)

        return _Sampled(z, log_q, backward)

    def log_weights(self, batch: Batch, noise: Noise, k: int) -> Array:
        """log p(x, z) less the criterion's log q, (k, B): weights of mean p(x) for all three."""
        x = self._rows(batch.x)
        q, _ = self.encoder.first(x)
        out = xp_of(x).empty((k, len(x)), x.dtype)
        config = self.config
        widest = max(x.shape[1], config.latent + x.shape[1], *config.hidden) * (config.draws + 1)
        for part, noise_here in pieces(k, noise, len(x) * widest):
            z, log_q, _ = self._sample(x, q, batch.index, noise_here, part.stop - part.start)
            log_prior = log_standard_normal(z)
            out[part] = self.decoder(z, x)[0] + log_prior - log_q - self._log_volume()
        return out  # type: ignore[no-any-return]

    def encode(self, batch: Batch) -> Gaussian:
        """q(z | h) at the mean of h: mean and logvar, (B, Z)."""
        q, _ = self.encoder.first(self._rows(batch.x))
        return self.encoder.second(q.mean)[0]

    def reconstruct(self, batch: Batch, noise: Noise) -> Array:
        """The mean of p(x|z) for one z ~ q(z|x), (B, *shape)."""
        x = self._rows(batch.x)
        q, _ = self.encoder.first(x)
        return self.decode(self._sample(x, q, batch.index, noise, 1).z[0])
