"""Softmax cross-entropy: minus the log-probability of one class among V.

    nll = log sum_v exp(x_v) - x_t,   dx_v = dnll (exp(x_v) / sum_u exp(x_u) - [v = t])

logits x (..., V); targets t (...), integers from 0 to V - 1; nll (...) in nats.  Rows that do
not count (padding) have any target and a cotangent of 0.
A logit of -inf is a class that cannot occur.  A row with NaN or +inf, or of -inf throughout,
has a loss and a gradient of NaN.
Saved: logits, targets, and for each row its maximum and the sum of exp(x - maximum); the
probabilities are recomputed.  Derivation: DERIVATION.md.

``linear_cross_entropy`` also makes the logits, block by block, and never holds them whole.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.backend import Op, is_device_array
from backhand.checks import check
from backhand.kernels.softmax_cross_entropy.reference import Saved
from backhand.outputs import check_written

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(logits: Array, targets: Array, *, backend: str | None = None) -> tuple[Array, Saved]:
    """nll (...) and what the backward needs.  Raises ValueError for a target out of range."""
    sizes = check("softmax_cross_entropy", logits=(logits, "... V"), targets=(targets, "int ..."))
    check_targets("softmax_cross_entropy", targets, sizes["V"])
    return OP.pick(backend, logits).forward(logits, targets)  # type: ignore[no-any-return]


def backward(
    d_nll: Array, saved: Saved, out: Array | None = None, *, backend: str | None = None
) -> Array:
    """d_logits (..., V).

    out: a contiguous array that takes the result, best one that lives as long as the training:
    to touch fresh memory costs as much as the gradient itself.  It may be ``saved.logits``; then
    the logits are gone, and this was the last backward.
    """
    logits, arrays = (saved.logits, "... V"), {}
    if out is not None:
        arrays["out"] = (out, "... V")
    sizes = check("softmax_cross_entropy", logits=logits, d_nll=(d_nll, "..."), **arrays)
    check_targets("softmax_cross_entropy", saved.targets, sizes["V"])  # if changed since
    if out is not None:
        check_written("softmax_cross_entropy", out=out)
    return OP.pick(backend, d_nll, saved.logits).backward(d_nll, saved, out)  # type: ignore[no-any-return]


def check_targets(op: str, targets: Array, V: int) -> None:
    """Raises ValueError naming the first target that is not a class; not of those on a GPU."""
    if V == 0:
        raise ValueError(f"{op}: there must be a class or more, got V = 0")
    if is_device_array(targets):  # to look would stop a GPU
        return
    if targets.size and not (targets.min() >= 0 and targets.max() < V):
        wrong = (targets < 0) | (targets >= V)
        first = tuple(int(i) for i in zip(*wrong.nonzero(), strict=True).__next__())
        raise ValueError(
            f"{op}: targets must lie in [0, V) with V = {V}, got {int(targets[first])} at {first}"
        )
