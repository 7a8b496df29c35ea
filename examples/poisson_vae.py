"""A model of one's own: a VAE for counts, with a Poisson likelihood.

    z ~ N(0, I),  rate = exp(decoder(z)),  log p(x|z) = sum_d ( x_d log rate_d - rate_d - log x_d! )

It is trained by the command line as any other:

    PYTHONPATH=examples backhand train poisson_vae:PoissonVAE --data counts.npz --run runs/counts
"""

import math
from dataclasses import dataclass

import numpy as np

import backhand as bh
from backhand.distributions import latent, log_ratio
from backhand.layers import MLP, GaussianHead, Initial, Linear
from backhand.model import DEFAULT_OBJECTIVES, UNWEIGHTED, Bound, Draw

log_factorial = np.vectorize(lambda count: math.lgamma(count + 1), otypes=[np.float64])


def poisson(x, log_rate):
    """log p(x | rate), (K, B); x (B, D) counts; backward(d_logp) gives d_log_rate."""
    rate = np.exp(log_rate)
    logp = (x * log_rate - rate - log_factorial(x).astype(x.dtype)).sum(axis=-1)

    def backward(d_logp):
        return d_logp[..., None] * (x - rate)

    return logp, backward


@dataclass(frozen=True)
class Config:
    hidden: int = 32
    latent: int = 2


@dataclass
class PoissonVAE(bh.Packed):
    Config = Config
    objectives = DEFAULT_OBJECTIVES

    config: Config
    spec: bh.DataSpec
    encoder: MLP
    head: GaussianHead
    decoder: MLP
    output: Linear

    @classmethod
    def create(cls, config, spec, x=None, seed=0, dtype="float32"):
        initial, D = Initial(seed, dtype), math.prod(spec.shape)
        model = cls(
            config, spec,
            MLP.create(initial, D, [config.hidden], "tanh"),
            GaussianHead.create(initial, config.hidden, config.latent),
            MLP.create(initial, config.latent, [config.hidden], "tanh"),
            Linear.create(initial, config.hidden, D),
        )  # fmt: skip
        if x is not None:
            model.output.b[...] = np.log(x.mean(axis=0) + 0.01)
        return model

    def bound(self, batch, noise, k=1, weights=UNWEIGHTED):
        eps = noise.normal("latent", batch.index, (self.config.latent,), k=k, dtype=batch.x.dtype)
        h, back_encoder = self.encoder(np.log1p(batch.x))  # (B, H)
        q, back_head = self.head(h)  # (B, Z)
        z, kl, back_latent = latent(q.mean, q.logvar, eps)  # (k, B, Z), (B, Z)
        a, back_decoder = self.decoder(z)  # (k, B, H)
        log_rate, back_output = self.output(a)  # (k, B, D)
        logp, back_poisson = poisson(batch.x, log_rate)  # (k, B)
        terms = {"likelihood": logp.mean(axis=0), "kl": kl.sum(axis=1)}  # (B,)

        def backward(d_objective=None, g=bh.NO_GRAD, keep=False):
            B = len(batch.x)
            d = np.full(B, 1 / B, batch.x.dtype) if d_objective is None else d_objective
            d_logp = np.broadcast_to(weights.likelihood * d / k, logp.shape)
            d_log_rate = back_poisson(d_logp)
            dz = back_decoder(back_output(d_log_rate, g.output), g.decoder)
            d_kl = np.broadcast_to(-weights.kl * d[:, None], kl.shape)
            back_encoder(back_head(*back_latent(dz, d_kl), g.head), g.encoder, need_x=False)

        value = terms["likelihood"] - terms["kl"]
        objective = weights.likelihood * terms["likelihood"] - weights.kl * terms["kl"]
        return Bound(value, terms, objective, backward)

    def log_weights(self, batch, noise, k):
        q = self.encode(batch)
        eps = noise.normal("latent", batch.index, (self.config.latent,), k=k, dtype=batch.x.dtype)
        z, _, _ = latent(q.mean, q.logvar, eps)
        logp = poisson(batch.x, self.log_rate(z))[0]
        return logp + log_ratio(z, q.logvar, eps)[0].sum(axis=-1)

    def encode(self, batch):
        return self.head(self.encoder(np.log1p(batch.x))[0])[0]

    def log_rate(self, z):
        return self.output(self.decoder(z)[0])[0]

    def sample(self, n, noise, given=None):
        dtype = self.params.vector.dtype
        z = noise.normal("prior", np.arange(n), (self.config.latent,), dtype=dtype)
        rate = np.exp(self.log_rate(z))
        return Draw(np.random.default_rng(noise.seed).poisson(rate).astype(dtype), rate)

    def reconstruct(self, batch, noise):
        return np.exp(self.log_rate(self.encode(batch).mean))
