"""A model with L stochastic layers, q from the data up and p from the top down; no objective yet.

    q(z | x) = q(z_1 | x) q(z_2 | z_1) ...     p(x, z) = p(z_L) ... p(z_1 | z_2) p(x | z_1)
    log w    = log p(x, z) - log q(z | x),   z ~ q(z | x)

Sizes: B data, K samples, D values per datum, Z_l latent, U = Z_1 + ... + Z_L.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, Self

from backhand._types import Array
from backhand.grads import NO_GRAD
from backhand.layers import MLP, Initial
from backhand.model import Batch, DataSpec, Draw, Gaussian
from backhand.models.networks import Decoder, GaussianNet
from backhand.models.outputs import OutputConfig, create_output
from backhand.models.stochastic_layers import Generation, Recognition, prior_of
from backhand.models.vectors import OfVectors, Scaling, output_kind, pieces, scaling_and_mean
from backhand.noise import Noise
from backhand.numerics import xp_of


@dataclass(frozen=True)
class LayeredConfig(OutputConfig):
    """hidden, latent: widths, one entry for each stochastic layer, from the data up.

    depth: hidden layers in each network; decoder_depth: in those of p, 0: as many.  The others
    are those of OutputConfig.
    """

    hidden: tuple[int, ...] = (200,)
    latent: tuple[int, ...] = (50,)
    depth: int = 2
    decoder_depth: int = 0
    activation: Literal["tanh", "relu", "leaky_relu", "softplus", "elu", "sigmoid"] = "tanh"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.latent or len(self.hidden) != len(self.latent):
            raise ValueError(
                "hidden and latent have one entry for each stochastic layer: "
                f"{self.hidden=}, {self.latent=}"
            )
        if min(*self.hidden, *self.latent, self.depth) < 1 or self.decoder_depth < 0:
            raise ValueError(
                "widths and depth must be at least 1, decoder_depth 0 or more: "
                f"{self.hidden=}, {self.latent=}, {self.depth=}, {self.decoder_depth=}"
            )


@dataclass
class Layered(OfVectors):
    """See the module; ``recognition`` and ``generation`` are its parts."""

    config: LayeredConfig
    spec: DataSpec
    recognition: Recognition
    generation: Generation
    scaling: Scaling | None

    @classmethod
    def create(
        cls,
        config: LayeredConfig,
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
        output = create_output(kind, config, initial, config.hidden[0], mean)
        generation = Generation(tuple(down), Decoder(mlp, output))
        return cls(config, spec, Recognition(tuple(up)), generation, scaling)

    def log_weights(self, batch: Batch, noise: Noise, k: int) -> Array:
        """log w of k samples per datum, (k, B); each datum is encoded once."""
        x = self._rows(batch.x)
        first = self.recognition.nets[0].stats(x)
        out = xp_of(x).empty((k, len(x)), x.dtype)
        widest = max(x.shape[1], *self.config.latent, *self.config.hidden)
        for part, noise_here in pieces(k, noise, len(x) * widest):
            eps = self._noise(noise_here, batch.index, part.stop - part.start, x.dtype)
            z, log_q, log_top, *_ = self.recognition(x, eps, first)
            logp, between, _ = self.generation(z, x)
            out[part] = logp + prior_of(log_top, between) - log_q - self._log_volume()
        return out  # type: ignore[no-any-return]

    def _noise(self, noise: Noise, index: Array, k: int, dtype: Any) -> list[Array]:
        return [
            noise.normal("latent", index, (size,), k=k, layer=i, dtype=dtype)
            for i, size in enumerate(self.config.latent)
        ]

    def elbo_at(
        self, q: Gaussian, batch: Batch, noise: Noise, k: int
    ) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
        """The ELBO (B,) with q (B, Z_1) for q(z_1 | x); backward(d) gives (dmean, dlogvar)."""
        x = self._rows(batch.x)
        xp, Z = xp_of(x), q.mean.shape[-1]
        grads: list[Array] = []
        eps = self._noise(noise, batch.index, k, x.dtype)
        stats = xp.concatenate([q.mean, 0.5 * q.logvar], axis=-1)
        first = stats, lambda dstats, g, need_x: grads.append(dstats)
        z, log_q, log_top, back_q, _ = self.recognition(x, eps, first)
        logp, between, back_p = self.generation(z, x)  # (k, B) each

        def backward(d: Array) -> tuple[Array, Array]:
            each = xp.broadcast_to(d / k, logp.shape)
            back_q(back_p(each, each, NO_GRAD), -each, each, NO_GRAD)
            return grads[-1][..., :Z], 0.5 * grads[-1][..., Z:]

        log_prior = prior_of(log_top, between)
        return (logp + log_prior - log_q).mean(axis=0) - self._log_volume(), backward

    def posterior_means(self, batch: Batch, noise: Noise, k: int = 50) -> list[Array]:
        """E_q[z_l | x], (B, Z_l) for each layer; above the first by k samples of what is below."""
        x = self._rows(batch.x)
        z, *_ = self.recognition(x, self._noise(noise, batch.index, k, x.dtype))
        above = [net(z_l)[0].mean for net, z_l in zip(self.recognition.nets[1:], z, strict=False)]
        return [self.encode(batch).mean, *(mean.mean(axis=0) for mean in above)]

    @property
    def noise_size(self) -> int:
        """Of the standard normal noise that makes a datum: one number for each latent one."""
        return sum(self.config.latent)

    def log_likelihood(self, u: Array, batch: Batch) -> tuple[Array, Callable[[Array], Array]]:
        """log p(x | u), (C, B), for noise u (C, B, U); backward(d_logp) gives du."""
        xp, x = xp_of(u), self._rows(batch.x)
        ends = list(accumulate(self.config.latent))[:-1]
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
            raise ValueError(
                f"{type(self).__name__} generates from the prior alone; given must be None"
            )
        index, dtype = xp_of(self.params.vector).arange(n), self.params.vector.dtype
        eps = [
            noise.normal("prior", index, (size,), layer=i, dtype=dtype)
            for i, size in enumerate(self.config.latent)
        ]
        z, _ = self.generation.draw(eps)  # (n, Z_1)
        decoder = self.generation.decoder
        h = decoder.mlp(z)[0]
        x = decoder.output.draw(h, noise, index)
        noise_of_all = xp_of(h).concatenate(eps, axis=-1)  # (n, U)
        return Draw(self._shaped(x), self._shaped(decoder.output.mean(h)), noise_of_all)

    def reconstruct(self, batch: Batch, noise: Noise) -> Array:
        """The mean of p(x | z_1) for one z_1 ~ q(z_1 | x), (B, *shape)."""
        x = self._rows(batch.x)
        z, *_ = self.recognition(x, self._noise(noise, batch.index, 1, x.dtype))
        return self.decode(z[0][0])
