"""Bernoulli log-likelihood from logits.

    logp_kb = sum_d ( x_bd l_kbd - softplus(l_kbd) )
    dl_kbd  = d_kb ( x_bd - sigmoid(l_kbd) ),   dx_bd = sum_k d_kb l_kbd

x (..., D) in [0, 1]; logits (K, ..., D): x's shape behind sample axes, any number of them or
none, that share the data; logp (K, ...) in nats.
Saved: x, logits; the sigmoid is recomputed.  Derivation: DERIVATION.md.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.bernoulli_logits.reference import Saved

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(x: Array, logits: Array, *, backend: str | None = None) -> tuple[Array, Saved]:
    """logp (K, ...) and what the backward needs."""
    check("bernoulli_logits", x=(x, "... D"), logits=(logits, "*... D"))
    return OP.pick(backend, x, logits).forward(x, logits)  # type: ignore[no-any-return]


def backward(
    d_logp: Array, saved: Saved, *, need_x: bool = True, backend: str | None = None
) -> tuple[Array | None, Array]:
    """(dx, dlogits); dx is None where ``need_x`` is false, as for data."""
    x, logits = (saved.x, "... D"), (saved.logits, "*... D")
    check("bernoulli_logits", x=x, logits=logits, d_logp=(d_logp, "*..."))
    return OP.pick(backend, d_logp, *saved).backward(d_logp, saved, need_x)  # type: ignore[no-any-return]
