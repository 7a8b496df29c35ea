"""A reparameterised Gaussian sample with its log-densities.

    z_kb     = mean_b + exp(s_b) eps_kb,   (mean, s) = stats
    log_q_kb = -1/2 sum_j eps_kbj^2 - sum_j s_bj - Z/2 log 2 pi,  log N(z_kb; mean_b, exp(s_b)^2)
    log_n_kb = -1/2 sum_j z_kbj^2 - Z/2 log 2 pi,                 log N(z_kb; 0, I)

    t     = dz - d_log_n z,             deps = t exp(s) - d_log_q eps
    dmean = sum_k t,                    ds   = exp(s) sum_k t eps - sum_k d_log_q

stats (..., 2*Z): means, then logarithms s of standard deviations, as one product gives them;
eps (K, ..., Z), (..., Z) behind sample axes, any number of them or none, standard normal, an
argument; z (K, ..., Z); log_q, log_n (K, ...) in nats.  (Burda, Grosse & Salakhutdinov 2016.)
Saved: stats, eps, z; the standard deviation is recomputed.  Derivation: DERIVATION.md.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.gaussian_sample.reference import Saved
from backhand.outputs import kept

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(
    stats: Array, eps: Array, *, backend: str | None = None
) -> tuple[Array, Array, Array, Saved]:
    """z (K, ..., Z), log_q and log_n (K, ...), and what the backward needs."""
    run = OP.compiled(backend)
    if run is not None and (found := run.unchecked(stats, eps)) is not None:
        return found  # type: ignore[no-any-return]
    sizes = check("gaussian_sample", stats=(stats, "... 2*Z"), eps=(eps, "*... Z"))
    if sizes["2*Z"] != 2 * sizes["Z"]:
        raise ValueError(
            f"gaussian_sample: stats must have shape (..., 2*Z) with Z = {sizes['Z']} (from eps), "
            f"got {stats.shape}"
        )
    z, log_q, log_n, saved = OP.pick(backend, stats, eps).forward(stats, eps)
    return kept(z), log_q, log_n, saved


def backward(
    dz: Array, d_log_q: Array, d_log_n: Array, saved: Saved, *, need_eps: bool = True,
    backend: str | None = None,
) -> tuple[Array, Array | None]:  # fmt: skip
    """(dstats, deps); deps is None where ``need_eps`` is false, as for noise."""
    run = OP.compiled(backend)
    if run is not None:
        found = run.unchecked_backward(dz, d_log_q, d_log_n, saved, need_eps)
        if found is not None:
            return found  # type: ignore[no-any-return]
    check(
        "gaussian_sample", stats=(saved.stats, "... 2*Z"), z=(saved.z, "*... Z"),
        dz=(dz, "*... Z"), d_log_q=(d_log_q, "*..."), d_log_n=(d_log_n, "*..."),
    )  # fmt: skip
    run = OP.pick(backend, dz, d_log_q, d_log_n, *saved)
    return run.backward(dz, d_log_q, d_log_n, saved, need_eps)  # type: ignore[no-any-return]
