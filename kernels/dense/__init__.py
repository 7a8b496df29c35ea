"""A layer: an affine map and its activation.

    y = f(x W + b)
    da = dy f'(x W + b),   db = sum over the leading axes of da,   dW = x^T da,   dx = da W^T

x (..., I), W (I, O), b (O,), y (..., O).  f is one of bias_activation.ACTIVATIONS.
Saved: x, W and y.  Derivation: DERIVATION.md.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.bias_activation.reference import ACTIVATIONS
from backhand.kernels.dense.reference import Saved
from backhand.outputs import check_written, kept

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(
    x: Array, W: Array, b: Array, activation: str, *, backend: str | None = None
) -> tuple[Array, Saved]:
    """y (..., O) and what the backward needs."""
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"dense: unknown activation {activation!r}; there are {', '.join(ACTIVATIONS)}"
        )
    check("dense", x=(x, "... I"), W=(W, "I O"), b=(b, "O"))
    y, saved = OP.pick(backend, x, W, b).forward(x, W, b, activation)
    return kept(y), saved


def backward(
    dy: Array, saved: Saved, *, dW: Array | None = None, db: Array | None = None,
    need_x: bool = True, backend: str | None = None,
) -> tuple[Array | None, Array, Array]:  # fmt: skip
    """(dx, dW, db); dW (I, O) and db (O,) are written into the arrays that are given for them."""
    check("dense", y=(saved.y, "... O"), dy=(dy, "... O"))
    for name, out, shape in (("dW", dW, saved.W.shape), ("db", db, saved.W.shape[1:])):
        if out is not None:
            if out.shape != shape or out.dtype != dy.dtype:
                raise ValueError(
                    f"dense: {name} must be {dy.dtype} {shape}, got {out.dtype} {out.shape}"
                )
            check_written("dense", **{name: out})
    run = OP.pick(backend, dy, saved.x, saved.W, saved.y)
    return run.backward(dy, saved, dW, db, need_x)  # type: ignore[no-any-return]
