"""An affine map with its activation, and stacks of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from backhand._types import Array
from backhand.layers.initial import Initial
from backhand.layers.linear import Backward, affine


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
        y, backward = affine(x, (self,))
        return y, lambda dy, g, need_x=True: backward(dy, (g,), need_x)


@dataclass
class MLP:
    """A stack of ``Dense`` layers; without any it is the identity.  x: (..., I)."""

    layers: tuple[Dense, ...]

    @classmethod
    def create(cls, initial: Initial, inputs: int, hidden: Sequence[int], activation: str) -> Self:
        pairs = pairwise((inputs, *hidden))
        return cls(tuple(Dense.create(initial, i, o, activation) for i, o in pairs))

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        if not self.layers:
            return x, lambda dy, g, need_x=True: dy
        y, backward = affine(x, self.layers)
        return y, lambda dy, g, need_x=True: backward(dy, g.layers, need_x)
