"""A diagonal Gaussian posterior: reparameterised samples and the KL to N(0, I).

    z_kbj  = mean_bj + exp(logvar_bj / 2) eps_kbj
    kl_bj  = ( mean_bj^2 + exp(logvar_bj) - 1 - logvar_bj ) / 2

mean, logvar (..., Z); eps (K, ..., Z), their shape behind sample axes, any number of them or
none, standard normal, an argument; z (K, ..., Z); kl (..., Z) in nats per dimension.
(Kingma & Welling 2014, appendix B and section 2.4.)
Saved: mean, logvar, eps; the standard deviation is recomputed.  Derivation: DERIVATION.md.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.gaussian_latent.reference import Saved

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(
    mean: Array, logvar: Array, eps: Array, *, backend: str | None = None
) -> tuple[Array, Array, Saved]:
    """z (K, ..., Z), kl (..., Z), and what the backward needs."""
    check(
        "gaussian_latent", mean=(mean, "... Z"), logvar=(logvar, "... Z"), eps=(eps, "*... Z")
    )  # fmt: skip
    return OP.pick(backend, mean, logvar, eps).forward(mean, logvar, eps)  # type: ignore[no-any-return]


def backward(
    dz: Array, dkl: Array, saved: Saved, *, need_eps: bool = True, backend: str | None = None
) -> tuple[Array, Array, Array | None]:
    """(dmean, dlogvar, deps); deps is None where ``need_eps`` is false, as for noise."""
    mean, eps = (saved.mean, "... Z"), (saved.eps, "*... Z")
    check("gaussian_latent", mean=mean, eps=eps, dz=(dz, "*... Z"), dkl=(dkl, "... Z"))
    return OP.pick(backend, dz, dkl, *saved).backward(dz, dkl, saved, need_eps)  # type: ignore[no-any-return]
