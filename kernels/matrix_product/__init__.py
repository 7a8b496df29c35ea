"""The matrix product of a layer, and the two of its backward.

    y = x W,   dx = dy W^T,   dW = x^T dy

x (..., I), W (I, O), y (..., O): all leading axes are rows, of one product.  NumPy's BLAS packs
the weights anew at every call and finds little to share between threads where rows are few;
the compiled form has a product of its own for these, and leaves the others to BLAS.  On a GPU
all are cuBLAS's.  Derivation: DERIVATION.md.

A W that meets few rows many times, as in a recurrent layer, is given as ``packed(W)``.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.matrix_product.reference import Packed, Saved, plain

# BLAS or cuBLAS, by the operator of the arrays, unless compiled.
OP = Op(
    __name__, numpy="reference", numba="reference", native="native", cuda="reference",
    emulated="reference",
)  # fmt: skip


def forward(x: Array, W: Array, *, backend: str | None = None) -> tuple[Array, Saved]:
    """y (..., O) and what the backward needs."""
    check("matrix_product", x=(x, "... I"), W=(W, "I O"))
    return OP.pick(backend, x, W).forward(x, W)  # type: ignore[no-any-return]


def backward(dy: Array, saved: Saved, *, backend: str | None = None) -> tuple[Array, Array]:
    """(dx, dW)."""
    check("matrix_product", x=(saved.x, "... I"), W=(saved.W, "I O"), dy=(dy, "... O"))
    return OP.pick(backend, dy, *saved).backward(dy, saved)  # type: ignore[no-any-return]


def packed(W: Array, *, backend: str | None = None) -> Array | Packed:
    """W as it is now, in the form that many products with few rows are fastest with."""
    return OP.pick(backend, W).packed(W)  # type: ignore[no-any-return]


def times(x: Array, W: Array | Packed, *, backend: str | None = None) -> Array:
    """x W, (..., O).  For layers, which have checked their arguments."""
    return OP.pick(backend, x, plain(W)).times(x, W)  # type: ignore[no-any-return]


def times_transposed(dy: Array, W: Array | Packed, *, backend: str | None = None) -> Array:
    """dy W^T, (..., I)."""
    return OP.pick(backend, dy, plain(W)).times_transposed(dy, W)  # type: ignore[no-any-return]


def outer(x: Array, dy: Array, out: Array, *, backend: str | None = None) -> None:
    """out (I, O), contiguous, = x^T dy over all rows."""
    OP.pick(backend, x, dy, out).outer(x, dy, out)
