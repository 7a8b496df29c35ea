"""Log-density of a diagonal Gaussian.

    logp_kb = -1/2 sum_d ( (x_bd - mean_kbd)^2 exp(-logvar) + logvar + log 2 pi )

x (..., D); mean (K, ..., D), x's shape behind sample axes, any number of them or none, that
share it; logvar like mean, or (D,) where one per dimension serves all; logp (K, ...) in nats.
Saved: x, mean, logvar.  Derivation: DERIVATION.md.
"""

from __future__ import annotations

import numpy as np

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.gaussian_density.reference import Saved

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(
    x: Array, mean: Array, logvar: Array, *, backend: str | None = None
) -> tuple[Array, Saved]:
    """logp (K, ...) and what the backward needs."""
    pattern = "D" if np.ndim(logvar) < np.ndim(mean) else "*... D"
    check("gaussian_density", x=(x, "... D"), mean=(mean, "*... D"), logvar=(logvar, pattern))
    return OP.pick(backend, x, mean, logvar).forward(x, mean, logvar)  # type: ignore[no-any-return]


def backward(
    d_logp: Array, saved: Saved, *, need_x: bool = True, backend: str | None = None
) -> tuple[Array | None, Array, Array]:
    """(dx, dmean, dlogvar); dx is None where ``need_x`` is false, as for data."""
    x, mean = (saved.x, "... D"), (saved.mean, "*... D")
    check("gaussian_density", x=x, mean=mean, d_logp=(d_logp, "*..."))
    return OP.pick(backend, d_logp, *saved).backward(d_logp, saved, need_x)  # type: ignore[no-any-return]
