"""Linear layer and softmax cross-entropy, the logits never whole.

    x = h W + b,   nll = log sum_v exp(x_v) - x_t
    dx_v = dnll (exp(x_v) / sum_u exp(x_u) - [v = t])
    dh = dx W^T,   dW = sum h^T dx,   db = sum dx

h (..., H); W (H, V); b (V,); targets t (...), integers from 0 to V - 1; nll (...) in nats.
Sums go over the leading axes.  Rows that do not count have any target and a cotangent of 0.
The work is done in blocks of 1024 rows by 1024 classes.  Beyond what it returns, a pass holds
one block of logits and its products with h and W; the backward makes the logits again, a fourth
product where three would do.  ``softmax_cross_entropy`` is faster where the logits fit.
Logits that are not finite: as in ``softmax_cross_entropy``.
Saved: h, W, b, targets, and for each row the largest logit and the sum of exp(x - largest).
Derivation: DERIVATION.md.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.linear_cross_entropy.reference import Saved
from backhand.kernels.softmax_cross_entropy import check_targets

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(
    h: Array, W: Array, b: Array, targets: Array, *, backend: str | None = None
) -> tuple[Array, Saved]:
    """nll (...) and what the backward needs.  Raises ValueError for a target out of range."""
    arrays = {"h": (h, "... H"), "W": (W, "H V"), "b": (b, "V"), "targets": (targets, "int ...")}
    check("linear_cross_entropy", **arrays)
    check_targets("linear_cross_entropy", targets, len(b))
    return OP.pick(backend, h, W, b).forward(h, W, b, targets)  # type: ignore[no-any-return]


def backward(
    d_nll: Array, saved: Saved, need_W: bool = True, *, backend: str | None = None
) -> tuple[Array, Array | None, Array]:
    """(dh, dW, db).  ``need_W=False`` where W is not trained: dW is None, its product not made."""
    check("linear_cross_entropy", h=(saved.h, "... H"), d_nll=(d_nll, "..."))
    return OP.pick(backend, d_nll, saved.h, saved.W).backward(d_nll, saved, need_W)  # type: ignore[no-any-return]
