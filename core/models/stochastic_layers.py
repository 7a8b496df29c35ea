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
from backhand.distributions import gaussian, sample
from backhand.grads import NO_GRAD
from backhand.models.networks import Decoder, GaussianNet
from backhand.numerics import xp_of


class _Step(NamedTuple):
    """One layer of a pass up: its density, and the way back."""

    stats: Array  # (B, 2 Z) in the first layer, else (K, B, 2 Z)
    eps: Array  # (K, B, Z)
    back_net: Callable[..., Any]
    back_sample: Callable[[Array, Array, Array], Array]


@dataclass
class Recognition:
    """z_l = mean_l + exp(s_l) eps_l, where mean_l and s_l are of z_{l-1}; z_0 = x.

    z, log_q, log_top, backward, backward_path = recognition(x, eps)
    log_q = log q(z | x) and log_top = log N(z_L; 0, I), (K, B) each
    """

    nets: tuple[GaussianNet, ...]

    def __call__(
        self, x: Array, eps: list[Array], first: Any = None
    ) -> tuple[list[Array], Array, Array, Callable[..., None], Callable[..., None]]:
        """eps: (K, B, Z_l) each.  first: ``self.nets[0].stats(x)``, where it is at hand."""
        z: list[Array] = []
        steps: list[_Step] = []
        log_q: Any = None
        for i, (net, e) in enumerate(zip(self.nets, eps, strict=True)):
            stats, back_net = first if first and i == 0 else net.stats(z[-1] if z else x)
            z_l, log_q_l, log_top, back_sample = sample(stats, e)  # (K, B, Z), (K, B), (K, B)
            log_q = log_q + log_q_l if i else log_q_l
            z.append(z_l)
            steps.append(_Step(stats, e, back_net, back_sample))
        top = len(steps) - 1

        def backward(dz: list[Array], d_log_q: Array, d_log_top: Array, g: Any) -> None:
            """dz: what the rest of the objective gives to each z; d_log_q, d_log_top (K, B)."""
            none = xp_of(x).zeros_like(d_log_q) if top else d_log_top
            below: Any = None
            for i, step in reversed(list(enumerate(steps))):
                d = dz[i] if below is None else dz[i] + below
                dstats = step.back_sample(d, d_log_q, d_log_top if i == top else none)
                below = step.back_net(dstats, g.nets[i], need_x=i > 0)

        def backward_path(
            dz: list[Array], d_log_q: Array, d_log_top: Array, g: Any, again: Array | None = None
        ) -> None:
            """The same, with the parameters of q inside log q held constant.

            log q still depends on z_{l-1} through mean_l and s_l: that way leads through
            the network too, its own parameters left out.
            """
            xp, dz = xp_of(x), list(dz)
            none = xp.zeros_like(d_log_q)
            dz[top] = dz[top] - d_log_top[..., None] * z[top]
            below: Any = 0
            for i, step in reversed(list(enumerate(steps))):
                d = d_log_q[..., None]  # (K, B, 1)
                s = step.stats[..., step.eps.shape[-1] :]
                u = step.eps * xp.exp(-s)  # (z - mean) / variance
                total = dz[i] - d * u
                if i:
                    dstats = xp.concatenate([d * u, d * (step.eps * step.eps - 1)], axis=-1)
                    dz[i - 1] = dz[i - 1] + step.back_net(dstats, NO_GRAD, need_x=True)
                if again is not None:
                    total = total * again[..., None]
                below = step.back_net(
                    step.back_sample(total + below, none, none), g.nets[i], need_x=i > 0
                )

        return z, log_q, log_top, backward, backward_path


@dataclass
class Generation:
    """logp, log_between, backward = generation(z, x)

    log p(x | z_1), and log p(z_1 .. z_{L-1} | z_L), which is None for L = 1: (K, B) each.
    ``nets`` give p(z_l | z_{l+1}), l = 1 .. L-1, ``decoder`` p(x | z_1).
    """

    nets: tuple[GaussianNet, ...]
    decoder: Decoder

    def __call__(
        self, z: list[Array], x: Array
    ) -> tuple[Array, Array | None, Callable[..., list[Array]]]:
        logp, back_decoder = self.decoder(z[0], x)
        between: Any = None
        backs = []
        for i, net in enumerate(self.nets):
            p, back_net = net(z[i + 1])
            log_p, back_p = gaussian(z[i], p.mean, p.logvar)
            between = between + log_p if i else log_p
            backs.append((back_net, back_p))

        def backward(d_logp: Array, d_between: Array, g: Any) -> list[Array]:
            """dz_1 .. dz_L."""
            dz = [back_decoder(d_logp, g.decoder)]
            for i, (back_net, back_p) in enumerate(backs):
                d, dmean, dlogvar = back_p(d_between)
                dz[i] = dz[i] + d
                dz.append(back_net(dmean, dlogvar, g.nets[i], need_x=True))
            return dz

        return logp, between, backward

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


def prior_of(log_top: Array, between: Array | None) -> Array:
    """log p(z) = log p(z_L) + log p(z_1 .. z_{L-1} | z_L), (K, B)."""
    return log_top if between is None else log_top + between
