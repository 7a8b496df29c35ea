"""An affine map with its activation, and stacks of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from backhand._types import Array
from backhand.checks import check
from backhand.kernels import bias_activation
from backhand.kernels.matrix_product import times, times_transposed
from backhand.layers.initial import Initial

Backward = Callable[..., Any]  # dx = backward(dy, g); need_x=False where x is data: no dx


@dataclass
class Dense:
    """y = f(x W + b).   x: (..., I), W: (I, O), b: (O,), y: (..., O)."""

    W: Array
    b: Array
    activation: str

    @classmethod
    def create(cls, initial: Initial, inputs: int, outputs: int, activation: str) -> Self:
        return cls(initial.glorot(inputs, outputs), initial.zeros(outputs), activation)

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        check("Dense", x=(x, "... I"), W=(self.W, "I O"), b=(self.b, "O"))
        a = times(x, self.W)
        run = bias_activation.OP.resolve(None, a, self.b)
        y, saved = bias_activation.forward(a, self.b, self.activation, backend=run)

        def backward(dy: Array, g: Any, need_x: bool = True) -> Array | None:
            da, db = bias_activation.backward(dy, saved, backend=run)
            g.b.add(db)
            g.W.add_outer(x, da)
            return times_transposed(da, self.W) if need_x else None

        return y, backward


@dataclass
class MLP:
    """A stack of ``Dense`` layers; without any it is the identity.  x: (..., I)."""

    layers: tuple[Dense, ...]

    @classmethod
    def create(cls, initial: Initial, inputs: int, hidden: Sequence[int], activation: str) -> Self:
        pairs = pairwise((inputs, *hidden))
        return cls(tuple(Dense.create(initial, i, o, activation) for i, o in pairs))

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        backs: list[Backward] = []
        for layer in self.layers:
            x, back = layer(x)
            backs.append(back)

        def backward(dy: Array, g: Any, need_x: bool = True) -> Array | None:
            for i in reversed(range(len(backs))):
                dy = backs[i](dy, g.layers[i], need_x=need_x or i > 0)
            return dy

        return x, backward
