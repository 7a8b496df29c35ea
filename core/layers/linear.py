"""The affine map, and none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from backhand._types import Array
from backhand.kernels import bias_activation, dense, matrix_product
from backhand.kernels.bias_activation.reference import Saved
from backhand.layers.initial import Initial

Backward = Callable[..., Any]  # dx = backward(dy, g); need_x=False where x is data: no dx


def affine(x: Array, W: Array, b: Array, activation: str) -> tuple[Array, Backward]:
    """y = f(x W + b), and its backward, whose g has W and b."""
    run = dense.OP.resolve(None, x, W, b)
    y, saved = dense.forward(x, W, b, activation, backend=run)

    def backward(dy: Array, g: Any, need_x: bool = True) -> Array | None:
        if g.W.takes(dy.dtype) and g.b.takes(dy.dtype):  # written where they belong
            dW, db = g.W.claim(), g.b.claim()
            return dense.backward(dy, saved, dW=dW, db=db, need_x=need_x, backend=run)[0]
        da = dy
        if activation != "identity":
            da, _ = bias_activation.backward(dy, Saved(saved.y, activation, False), backend=run)
        g.W.add_outer(x, da, g.b)
        return matrix_product.times_transposed(da, W, backend=run) if need_x else None

    return y, backward


@dataclass
class Linear:
    """y = x W + b.   x: (..., I), W: (I, O), b: (O,), y: (..., O).

    Where x is data, ``need_x=False`` saves the backward the product for dx.
    """

    W: Array
    b: Array

    @classmethod
    def create(cls, initial: Initial, inputs: int, outputs: int) -> Self:
        return cls(initial.glorot(inputs, outputs), initial.zeros(outputs))

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        return affine(x, self.W, self.b, "identity")


@dataclass
class Identity:
    """y = x: in the place of a ``Linear`` where x is what it would have given."""

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        return x, lambda dy, g, need_x=True: dy if need_x else None
