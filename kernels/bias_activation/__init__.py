"""Bias and activation in one pass, between two matrix products.

    y = f(a + b),   da = dy f'(a + b),   db = sum over the leading axes of da

a (..., O); b (O,), or None for no bias; y (..., O).  f is one of ``ACTIVATIONS``: identity,
tanh, sigmoid, relu, leaky_relu (slope 0.01), softplus, elu (alpha 1).
Saved: y alone; every derivative is a function of y.  Derivation: DERIVATION.md.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.bias_activation.reference import ACTIVATIONS, Saved
from backhand.outputs import kept

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(
    a: Array, b: Array | None, activation: str, *, backend: str | None = None
) -> tuple[Array, Saved]:
    """y (..., O) and what the backward needs."""
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"bias_activation: unknown activation {activation!r}; "
            f"there are {', '.join(ACTIVATIONS)}"
        )
    if b is None:
        check("bias_activation", a=(a, "... O"))
    else:
        check("bias_activation", a=(a, "... O"), b=(b, "O"))
    y, saved = OP.pick(backend, a, b).forward(a, b, activation)
    return kept(y), saved


def backward(dy: Array, saved: Saved, *, backend: str | None = None) -> tuple[Array, Array | None]:
    """(da, db); db is None where there is no bias."""
    check("bias_activation", y=(saved.y, "... O"), dy=(dy, "... O"))
    return OP.pick(backend, dy, saved.y).backward(dy, saved)  # type: ignore[no-any-return]
