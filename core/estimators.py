"""What K log weights are made into: the bound, and the seed that each one's gradient starts from.

log w_k = log p(x, z_k) - log q(z_k | x), (K, B).  Each function gives the bound (B,) and Seeds;
the parameters of p (theta) get sum_k theta_k d log w_k, those of q (phi) sum_k phi_k d log w_k.

estimator  bound                          theta          phi
elbo       mean of log w                  1/K            1/K
iwae       L_K = log mean w               w~             w~            (Burda et al., 2016)
stl        L_K                            w~             w~, path      (Roeder et al., 2017)
dreg       L_K                            w~             w~^2, path    (Tucker et al., 2019)
miwae      mean over M groups of L_{K/M}  w~ in groups   the same      (Rainforth et al., 2018)
piwae      L_K                            w~             as in miwae
ciwae      beta elbo + (1 - beta) L_K     so weighted    the same

w~ are the weights normalised over their samples, constants.  "path": through the samples z alone,
the parameters of q inside log q held constant.  STL is biased for K > 1; the others estimate the
gradient of their bound without bias (PIWAE: phi's, that of MIWAE's bound).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from backhand._types import Array
from backhand.kernels import importance_weights
from backhand.numerics import mean_of_samples, xp_of


class Seeds(NamedTuple):
    """theta, phi (K, B).  path: see above.  again (K, B): what dz is multiplied by before it
    enters q, which makes DReG's w~^2 of w~."""

    theta: Array
    phi: Array
    path: bool = False
    again: Array | None = None


class Mixing(NamedTuple):
    """groups: M of miwae and piwae.  beta: of ciwae."""

    groups: int = 1
    beta: float = 0.0


def elbo(log_w: Array, mixing: Mixing) -> tuple[Array, Seeds]:
    seed = xp_of(log_w).full(log_w.shape, 1 / len(log_w), log_w.real.dtype)
    return mean_of_samples(log_w), Seeds(seed, seed)


def iwae(log_w: Array, mixing: Mixing) -> tuple[Array, Seeds]:
    bound, w = _normalised(log_w)
    return bound, Seeds(w, w)


def stl(log_w: Array, mixing: Mixing) -> tuple[Array, Seeds]:
    bound, w = _normalised(log_w)
    return bound, Seeds(w, w, path=True)


def dreg(log_w: Array, mixing: Mixing) -> tuple[Array, Seeds]:
    bound, w = _normalised(log_w)
    return bound, Seeds(w, w, path=True, again=w)


def miwae(log_w: Array, mixing: Mixing) -> tuple[Array, Seeds]:
    M, (K, B) = mixing.groups, log_w.shape
    if K % M:
        raise ValueError(f"groups = {M} must divide the number of samples, k = {K}")
    groups = log_w.reshape(M, K // M, B).swapaxes(0, 1).reshape(K // M, M * B)
    bound, w = _normalised(groups)  # (M * B,), (K / M, M * B)
    seed = w.reshape(K // M, M, B).swapaxes(0, 1).reshape(K, B) / M
    return mean_of_samples(bound.reshape(M, B)), Seeds(seed, seed)


def piwae(log_w: Array, mixing: Mixing) -> tuple[Array, Seeds]:
    bound, w = _normalised(log_w)
    return bound, Seeds(w, miwae(log_w, mixing)[1].phi)


def ciwae(log_w: Array, mixing: Mixing) -> tuple[Array, Seeds]:
    bound, w = _normalised(log_w)
    beta = mixing.beta
    seed = beta / len(log_w) + (1 - beta) * w
    return beta * mean_of_samples(log_w) + (1 - beta) * bound, Seeds(seed, seed)


ESTIMATORS: dict[str, Callable[[Array, Mixing], tuple[Array, Seeds]]] = {
    f.__name__: f for f in (elbo, iwae, stl, dreg, miwae, piwae, ciwae)
}


def _normalised(log_w: Array) -> tuple[Array, Array]:
    bound, saved = importance_weights.forward(log_w)
    return bound, importance_weights.weights(saved).real
