"""Layers from the products of NumPy or CuPy and a backend's bias_activation."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from backhand._types import Array
from backhand.kernels.bias_activation import reference as bias_activation
from backhand.kernels.dense.reference import into, one_by_one
from backhand.kernels.matrix_product.reference import outer, times, times_transposed
from backhand.numerics import sum_rows


def composed(elementwise: ModuleType) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(forward, backward)"""

    def layer(x: Array, W: Array, b: Array, activation: str) -> Array:
        y = times(x, W)
        if activation == "identity":  # nobody else has seen y: no second array
            y += b
        else:
            y, _ = elementwise.forward(y, b, activation)
        return y

    def layer_backward(
        dy: Array, x: Array, W: Array, y: Array, activation: str, dW: Array | None,
        db: Array | None, need_x: bool,
    ) -> tuple[Array | None, Array, Array]:  # fmt: skip
        if activation == "identity":
            da, sums = dy, sum_rows(dy)
        else:
            da, sums = elementwise.backward(dy, bias_activation.Saved(y, activation, True))
        dW = outer(x, da, dW)
        return times_transposed(da, W) if need_x else None, dW, into(db, sums)

    return one_by_one(layer, layer_backward)
