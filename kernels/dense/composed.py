"""A layer from the products of NumPy or CuPy and a backend's bias_activation."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from backhand._types import Array
from backhand.kernels.bias_activation import reference as bias_activation
from backhand.kernels.dense.reference import Saved, into
from backhand.kernels.matrix_product.reference import outer, times, times_transposed
from backhand.numerics import sum_rows


def composed(elementwise: ModuleType) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(forward, backward)"""

    def forward(x: Array, W: Array, b: Array, activation: str) -> tuple[Array, Saved]:
        y = times(x, W)
        if activation == "identity":  # nobody else has seen y: no second array
            y += b
        else:
            y, _ = elementwise.forward(y, b, activation)
        return y, Saved(x, W, y, activation)

    def backward(
        dy: Array,
        saved: Saved,
        dW: Array | None = None,
        db: Array | None = None,
        need_x: bool = True,
    ) -> tuple[Array | None, Array, Array]:
        x, W, y, activation = saved
        if activation == "identity":
            da, sums = dy, sum_rows(dy)
        else:
            inner = bias_activation.Saved(y, activation, True)
            da, sums = elementwise.backward(dy, inner)
        dW = outer(x, da, dW)
        return times_transposed(da, W) if need_x else None, dW, into(db, sums)

    return forward, backward
