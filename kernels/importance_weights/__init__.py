"""The bound of K importance weights, and the seed that each log weight gets.

    bound_b = log 1/K sum_k w_kb,   w~_kb = w_kb / sum_j w_jb,   ess_b = 1 / sum_k w~_kb^2

log_w (K, B), K at least 1: log w_kb = log p(x_b, z_kb) - log q(z_kb | x_b); bound (B,).
(Burda et al., ICLR 2016.)  ``backward`` gives what the estimator seeds log w with:

estimator  d_log_w       what the model does
"iwae"     w~ d_bound    carries it through all of log w: the derivative of the bound
"stl"      w~ d_bound    the same, with the parameters of q inside log q(z | x) held constant;
                         biased for K > 1 (Roeder et al., 2017)
"dreg"     w~^2 d_bound  carries it through z to the parameters of q, those inside log q(z | x)
                         held constant; the parameters of p are seeded with w~ d_bound
                         (Tucker et al., 2019)

DReG in one pass: seed log w with ``weights(saved) * d_bound``, and multiply dz by
``weights(saved)`` before it enters q.

``weights(saved)`` (K, B) is w~, ``ess(saved)`` (B,) the effective sample size: statistics, through
which no gradient goes.  A log weight of -inf weighs nothing; a column of them has bound -inf,
weights, ess and gradient 0.  A column with +inf or NaN has that as its bound (NaN before +inf),
and weights, ess and gradient NaN.
Saved: log_w, and for each column its maximum and the sum of exp(log_w - maximum); the weights
are recomputed.  Derivation: DERIVATION.md.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.importance_weights import reference
from backhand.kernels.importance_weights.reference import ESTIMATORS, Saved

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(
    log_w: Array, estimator: str = "iwae", *, backend: str | None = None
) -> tuple[Array, Saved]:
    """bound (B,) and what the backward needs."""
    if estimator not in ESTIMATORS:
        raise ValueError(
            f"importance_weights: unknown estimator {estimator!r}; "
            f"there are {', '.join(ESTIMATORS)}"
        )
    if not check("importance_weights", log_w=(log_w, "K B"))["K"]:
        raise ValueError(f"importance_weights: log_w needs a sample or more, got {log_w.shape}")
    return OP.pick(backend, log_w).forward(log_w, estimator)  # type: ignore[no-any-return]


def backward(d_bound: Array, saved: Saved, *, backend: str | None = None) -> Array:
    """d_log_w (K, B), the seed of the estimator that the forward was given."""
    check("importance_weights", log_w=(saved.log_w, "K B"), d_bound=(d_bound, "B"))
    return OP.pick(backend, d_bound, saved.log_w).backward(d_bound, saved)  # type: ignore[no-any-return]


def weights(saved: Saved, *, backend: str | None = None) -> Array:
    """The normalised weights (K, B), each column of sum 1; constants to every gradient."""
    return OP.pick(backend, saved.log_w).weights(saved)  # type: ignore[no-any-return]


def ess(saved: Saved, *, backend: str | None = None) -> Array:
    """The effective sample size (B,), from 1 to K; 0 where no sample weighs anything."""
    return reference.ess(weights(saved, backend=backend))
