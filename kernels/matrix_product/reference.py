"""The products of a layer: NumPy, or CuPy."""

from __future__ import annotations

from typing import NamedTuple

from backhand._types import Array
from backhand.numerics import as_rows


class Saved(NamedTuple):
    x: Array  # (..., I)
    W: Array  # (I, O)


class Packed(NamedTuple):
    """W (I, O) as it was when it was packed."""

    W: Array
    panels: Array  # of W, in the layout of csrc/matrix_product
    transposed: Array  # the same of W^T


def packed(W: Array) -> Array:
    return W


def plain(W: Array | Packed) -> Array:
    return W.W if isinstance(W, Packed) else W


def forward(x: Array, W: Array) -> tuple[Array, Saved]:
    return times(x, W), Saved(x, W)


def backward(dy: Array, saved: Saved) -> tuple[Array, Array]:
    return times_transposed(dy, saved.W), outer(saved.x, dy, None)


def times(x: Array, W: Array | Packed) -> Array:
    W = plain(W)
    # x @ W is a product for each leading index, at (50, 20, 784) in 1.5 times the time.
    y = as_rows(x) @ W  # [matrix_product.1]
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], W.shape[1])


def times_transposed(dy: Array, W: Array | Packed) -> Array:
    W = plain(W)
    dx = as_rows(dy) @ W.T  # [matrix_product.2]
    return dx if dy.ndim == 2 else dx.reshape(*dy.shape[:-1], W.shape[0])


def outer(x: Array, dy: Array, out: Array | None) -> Array:
    dW = as_rows(x).T @ as_rows(dy)  # [matrix_product.3]
    if out is None:
        return dW
    out[...] = dW
    return out
