"""A layer: NumPy, or CuPy."""

from __future__ import annotations

from typing import NamedTuple

from backhand._types import Array
from backhand.kernels.bias_activation.reference import ACTIVATIONS
from backhand.kernels.matrix_product.reference import outer, times, times_transposed
from backhand.numerics import sum_rows


class Saved(NamedTuple):
    x: Array  # (..., I)
    W: Array  # (I, O)
    y: Array  # (..., O)
    activation: str


def forward(x: Array, W: Array, b: Array, activation: str) -> tuple[Array, Saved]:
    a = times(x, W) + b  # [dense.1]
    y = ACTIVATIONS[activation][0](a)  # [dense.2]
    return y, Saved(x, W, y, activation)


def backward(
    dy: Array, saved: Saved, dW: Array | None = None, db: Array | None = None, need_x: bool = True
) -> tuple[Array | None, Array, Array]:
    x, W, y, activation = saved
    da = dy * ACTIVATIONS[activation][1](y)  # [dense.3]
    db = into(db, sum_rows(da))  # [dense.4]
    dW = outer(x, da, dW)  # [dense.5]
    return times_transposed(da, W) if need_x else None, dW, db  # [dense.6]


def into(out: Array | None, x: Array) -> Array:
    if out is None:
        return x
    out[...] = x
    return out
