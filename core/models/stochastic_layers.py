"""Chains of stochastic layers: q from the data up, p from the top down.

    q(z | x) = q(z_1 | x) q(z_2 | z_1) ... q(z_L | z_{L-1})
    p(x, z)  = p(z_L) p(z_{L-1} | z_L) ... p(z_1 | z_2) p(x | z_1),   p(z_L) = N(0, I)

z is the list z_1 .. z_L, (K, B, Z_l) each.  (Burda et al., ICLR 2016, equations 1 to 3.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from backhand._types import Array
from backhand.distributions import gaussian, latent
from backhand.grads import NO_GRAD
from backhand.model import Gaussian
from backhand.models.networks import Decoder, GaussianNet
from backhand.numerics import LOG_2PI, log_standard_normal, squared_norm, sum_samples, xp_of


class _Step(NamedTuple):
    """One layer of a pass up: its density, and the way back."""

    q: Gaussian  # (B, Z) in the first layer, else (K, B, Z)
    eps: Array  # (K, B, Z)
    back_net: Callable[..., Any]
    back_latent: Callable[..., Any]


@dataclass
class Recognition:
    """z_l = mean_l + exp(logvar_l / 2) eps_l, where mean_l and logvar_l are of z_{l-1}; z_0 = x.

    z, log_q, backward, backward_path = recognition(x, eps)      log_q (K, B)
    """

    nets: tuple[GaussianNet, ...]

    def __call__(
        self, x: Array, eps: list[Array], first: Any = None
    ) -> tuple[list[Array], Array, Callable[..., None], Callable[..., None]]:
        """eps: (K, B, Z_l) each.  first: ``self.nets[0](x)``, where it is at hand."""
        z: list[Array] = []
        steps: list[_Step] = []
        log_q: Any = 0
        for i, (net, e) in enumerate(zip(self.nets, eps, strict=True)):
            q, back_net = first if first and i == 0 else net(z[-1] if z else x)
            z_l, _, back_latent = latent(q.mean, q.logvar, e)  # (K, B, Z)
            log_q = log_q - 0.5 * (squared_norm(e) + q.logvar.sum(axis=-1) + e.shape[-1] * LOG_2PI)
            z.append(z_l)
            steps.append(_Step(q, e, back_net, back_latent))

        def backward(dz: list[Array], d_log_q: Array, g: Any) -> None:
            """dz: what the rest of the objective gives to each z; d_log_q (K, B)."""
            below: Any = 0
            for i, step in reversed(list(enumerate(steps))):
                dmean, dlogvar = _through_sample(step, dz[i] + below)
                d = -0.5 * sum_samples(d_log_q, dlogvar.ndim - 1)  # the same for each dimension
                dlogvar = dlogvar + d[..., None]
                below = step.back_net(dmean, dlogvar, g.nets[i], need_x=i > 0)

        def backward_path(
            dz: list[Array], d_log_q: Array, g: Any, again: Array | None = None
        ) -> None:
            """The same, with the parameters of q inside log q held constant.

            log q still depends on z_{l-1} through mean_l and logvar_l: that way leads through
            the network too, its own parameters left out.
            """
            dz = list(dz)
            below: Any = 0
            for i, step in reversed(list(enumerate(steps))):
                d = d_log_q[..., None]  # (K, B, 1)
                u = step.eps * xp_of(x).exp(-0.5 * step.q.logvar)  # (z - mean) / variance
                total = dz[i] - d * u
                if i:
                    d_logvar = 0.5 * d * (step.eps * step.eps - 1)
                    dz[i - 1] = dz[i - 1] + step.back_net(d * u, d_logvar, NO_GRAD, need_x=True)
                if again is not None:
                    total = total * again[..., None]
                dmean, dlogvar = _through_sample(step, total + below)
                below = step.back_net(dmean, dlogvar, g.nets[i], need_x=i > 0)

        return z, log_q, backward, backward_path


@dataclass
class Generation:
    """logp, log_prior, backward = generation(z, x)     log p(x | z_1), log p(z): (K, B) each.

    ``nets`` give p(z_l | z_{l+1}), l = 1 .. L-1, ``decoder`` p(x | z_1).
    """

    nets: tuple[GaussianNet, ...]
    decoder: Decoder

    def __call__(self, z: list[Array], x: Array) -> tuple[Array, Array, Callable[..., list[Array]]]:
        logp, back_decoder = self.decoder(z[0], x)
        top = z[-1]
        log_prior = log_standard_normal(top)
        backs = []
        for i, net in enumerate(self.nets):
            p, back_net = net(z[i + 1])
            log_p, back_p = gaussian(z[i], p.mean, p.logvar)
            log_prior = log_prior + log_p
            backs.append((back_net, back_p))

        def backward(d_logp: Array, d_log_prior: Array, g: Any) -> list[Array]:
            """dz_1 .. dz_L."""
            dz = [back_decoder(d_logp, g.decoder)]
            for i, (back_net, back_p) in enumerate(backs):
                d, dmean, dlogvar = back_p(d_log_prior)
                dz[i] = dz[i] + d
                dz.append(back_net(dmean, dlogvar, g.nets[i], need_x=True))
            dz[-1] = dz[-1] - d_log_prior[..., None] * top
            return dz

        return logp, log_prior, backward

    def draw(self, eps: list[Array]) -> tuple[Array, Callable[[Array], list[Array]]]:
        """z_1 (..., Z_1) from the top down, from standard normals eps_1 .. eps_L.

        backward(dz_1) gives the gradients by eps; the parameters' are left out.
        """
        z, steps = eps[-1], []
        for net, e in zip(reversed(self.nets), eps[-2::-1], strict=True):
            p, back_net = net(z)
            std = xp_of(e).exp(0.5 * p.logvar)
            z = p.mean + std * e
            steps.append((std, e, back_net))

        def backward(dz: Array) -> list[Array]:
            d_eps = []
            for std, e, back_net in reversed(steps):
                d_eps.append(dz * std)
                dz = back_net(dz, 0.5 * dz * std * e, NO_GRAD)
            return [*d_eps, dz]

        return z, backward


def _through_sample(step: _Step, dz: Array) -> tuple[Array, Array]:
    """(dmean, dlogvar) of z = mean + exp(logvar / 2) eps."""
    no_kl = xp_of(dz).zeros_like(step.q.mean)
    return step.back_latent(dz, no_kl)  # type: ignore[no-any-return]
