"""Layers: NumPy, or CuPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from backhand._types import Array
from backhand.kernels.bias_activation.reference import ACTIVATIONS
from backhand.kernels.matrix_product.reference import outer, times, times_transposed
from backhand.numerics import sum_rows


class Saved(NamedTuple):
    x: Array  # (..., I)
    Ws: Sequence[Array]  # (I, O) each
    ys: Sequence[Array]  # (..., O)
    activations: Sequence[str]


def layer(x: Array, W: Array, b: Array, activation: str) -> Array:
    a = times(x, W) + b  # [dense.1]
    return ACTIVATIONS[activation][0](a)  # [dense.2]


def layer_backward(
    dy: Array, x: Array, W: Array, y: Array, activation: str, dW: Array | None, db: Array | None,
    need_x: bool,
) -> tuple[Array | None, Array, Array]:  # fmt: skip
    da = dy * ACTIVATIONS[activation][1](y)  # [dense.3]
    db = into(db, sum_rows(da))  # [dense.4]
    dW = outer(x, da, dW)  # [dense.5]
    return times_transposed(da, W) if need_x else None, dW, db  # [dense.6]


def into(out: Array | None, x: Array) -> Array:
    if out is None:
        return x
    out[...] = x
    return out


def one_by_one(
    layer: Callable[..., Array], layer_backward: Callable[..., Any]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(forward, backward) of layers that follow each other, from those of one."""

    def forward(
        x: Array, Ws: Sequence[Array], bs: Sequence[Array], activations: Sequence[str]
    ) -> tuple[Array, Saved]:
        y, ys = x, []
        for W, b, f in zip(Ws, bs, activations, strict=True):
            y = layer(y, W, b, f)
            ys.append(y)
        return y, Saved(x, Ws, ys, activations)

    def backward(
        dy: Array, saved: Saved, dWs: Sequence[Array] | None = None,
        dbs: Sequence[Array] | None = None, need_x: bool = True,
    ) -> tuple[Array | None, Sequence[Array], Sequence[Array]]:  # fmt: skip
        x, Ws, ys, activations = saved
        n = len(Ws)
        to_W: list[Any] = [None] * n if dWs is None else list(dWs)
        to_b: list[Any] = [None] * n if dbs is None else list(dbs)
        d: Array | None = dy
        for i in reversed(range(n)):
            d, to_W[i], to_b[i] = layer_backward(
                d, ys[i - 1] if i else x, Ws[i], ys[i], activations[i], to_W[i], to_b[i],
                need_x or i > 0,
            )  # fmt: skip
        return d, to_W, to_b

    return forward, backward


forward, backward = one_by_one(layer, layer_backward)
