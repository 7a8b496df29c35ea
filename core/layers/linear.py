"""The affine map, and none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from backhand._types import Array
from backhand.checks import check
from backhand.kernels.matrix_product import times, times_transposed
from backhand.layers.initial import Initial


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

    def __call__(self, x: Array) -> tuple[Array, Callable[..., Any]]:
        check("Linear", x=(x, "... I"), W=(self.W, "I O"), b=(self.b, "O"))
        y = times(x, self.W)
        if y.dtype == self.b.dtype:
            y += self.b  # nobody else has seen y: no second array
        else:
            y = y + self.b

        def backward(dy: Array, g: Any, need_x: bool = True) -> Array | None:
            g.W.add_outer(x, dy)
            g.b.add_rows(dy)
            return times_transposed(dy, self.W) if need_x else None

        return y, backward


@dataclass
class Identity:
    """y = x: in the place of a ``Linear`` where x is what it would have given."""

    def __call__(self, x: Array) -> tuple[Array, Callable[..., Any]]:
        return x, lambda dy, g, need_x=True: dy if need_x else None
