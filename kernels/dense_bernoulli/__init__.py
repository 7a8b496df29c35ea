"""Layers that end in the logits of Bernoulli variables, and the log-likelihood of data.

    l     = the last of y = f(y W + b), y being h at first                   (the logits)
    logp  = sum_d ( x_d l_d - softplus(l_d) )
    dl    = d_logp (x - sigmoid(l)),   from there down as in backhand.kernels.dense

h (K, ..., I); each W (I, O), b (O,), f one of bias_activation.ACTIVATIONS, the last "identity";
x (..., D) data in [0, 1], shared by the samples in front, any number of axes of them or none; it
gets no gradient here (bernoulli_logits has one); logp (K, ...) in nats.
Saved: h, and W and y of each layer, with x - sigmoid(l) in the place of l.
Derivation: DERIVATION.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.dense import check_given, check_layers
from backhand.kernels.dense.reference import Saved

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(
    h: Array, Ws: Sequence[Array], bs: Sequence[Array], activations: Sequence[str], x: Array, *,
    backend: str | None = None,
) -> tuple[Array, Saved]:  # fmt: skip
    """logp (K, ...) and what the backward needs; a W, b and f for each layer, in their order."""
    run = OP.compiled(backend)
    if run is not None and (found := run.unchecked(h, Ws, bs, activations, x)) is not None:
        return found  # type: ignore[no-any-return]
    if activations and activations[-1] != "identity":
        raise ValueError(
            f"dense_bernoulli: the last activation must be 'identity', got {activations[-1]!r}"
        )
    check("dense_bernoulli", x=(x, "... O"), h=(h, "*... I"))
    check_layers("dense_bernoulli", h, Ws, bs, activations, name="h")
    check("dense_bernoulli", x=(x, "... O"), b=(bs[-1], "O"))
    run = OP.pick(backend, h, x, *Ws, *bs)
    return run.forward(h, Ws, bs, activations, x)  # type: ignore[no-any-return]


def backward(
    d_logp: Array, saved: Saved, *, dWs: Sequence[Array] | None = None,
    dbs: Sequence[Array] | None = None, need_h: bool = True, backend: str | None = None,
) -> tuple[Array | None, Sequence[Array], Sequence[Array]]:  # fmt: skip
    """(dh, dWs, dbs), the latter two written into the arrays that are given for them."""
    run = OP.compiled(backend)
    if run is not None:
        found = run.unchecked_backward(d_logp, saved, dWs, dbs, need_h)
        if found is not None:
            return found  # type: ignore[no-any-return]
    check("dense_bernoulli", slopes=(saved.ys[-1], "... O"), d_logp=(d_logp, "..."))
    check_given("dense_bernoulli", saved.Ws, dWs, dbs)
    run = OP.pick(backend, d_logp, saved.x, *saved.Ws, *saved.ys)
    return run.backward(d_logp, saved, dWs, dbs, need_h)  # type: ignore[no-any-return]
