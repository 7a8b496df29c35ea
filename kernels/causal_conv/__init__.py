"""Causal dilated convolution over time, with bias and activation.

    y_t = f(sum_k x_{t - k d} W_k + b),   x_t = 0 for t < 0

    da = dy f',   dx_s = sum_k da_{s + k d} W_k^T,   dW_k = sum_t x_{t - k d}^T da_t,
    db = sum_t da_t;   sums over t go over the leading axes too

x (..., T, I); W (K, I, O), W_0 for the present; b (O,), or None for no bias; y (..., T, O).
d = ``dilation`` >= 1, of any size beside T; f is one of ``bias_activation.ACTIVATIONS``.
Saved: x, W and y; every derivative of f is a function of y.  Derivation: DERIVATION.md.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.bias_activation.reference import ACTIVATIONS
from backhand.kernels.causal_conv.reference import Saved
from backhand.outputs import kept

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(
    x: Array,
    W: Array,
    b: Array | None,
    dilation: int = 1,
    activation: str = "identity",
    *,
    backend: str | None = None,
) -> tuple[Array, Saved]:
    """y (..., T, O) and what the backward needs."""
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"causal_conv: unknown activation {activation!r}; there are {', '.join(ACTIVATIONS)}"
        )
    if not isinstance(dilation, int) or dilation < 1:
        raise ValueError(f"causal_conv: dilation must be an int of at least 1, got {dilation!r}")
    if b is None:
        check("causal_conv", x=(x, "... T I"), W=(W, "K I O"))
    else:
        check("causal_conv", x=(x, "... T I"), W=(W, "K I O"), b=(b, "O"))
    if not len(W):
        raise ValueError(f"causal_conv: W must have at least one tap, got {W.shape}")
    y, saved = OP.pick(backend, x, W, b).forward(x, W, b, dilation, activation)
    return kept(y), saved


def backward(
    dy: Array,
    saved: Saved,
    need_x: bool = True,
    need_W: bool = True,
    *,
    backend: str | None = None,
) -> tuple[Array | None, Array | None, Array | None]:
    """(dx, dW, db); None for what is not needed, and for db where there is no bias.

    ``need_x=False`` where x is data, ``need_W=False`` where the filter is not trained: each
    saves a product.
    """
    check("causal_conv", y=(saved.y, "... T O"), dy=(dy, "... T O"))
    return OP.pick(backend, dy, saved.y).backward(dy, saved, need_x, need_W)  # type: ignore[no-any-return]
