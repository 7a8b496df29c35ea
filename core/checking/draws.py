"""Random inputs, cotangents and directions, the same on every backend and at every call."""

from __future__ import annotations

import numpy as np

from backhand._types import Array, Shape
from backhand.backend import use_backend
from backhand.noise import Noise


class Draws:
    """Standard normals in float64, each array under its own number."""

    def __init__(self, seed: int) -> None:
        self.noise, self.calls = Noise(seed), 0

    def normal(self, *shape: int) -> Array:
        self.calls += 1
        one = np.zeros(1, np.int64)
        with use_backend("numpy"):
            drawn = self.noise.normal("check", one, shape, layer=self.calls, dtype=np.float64)
        return drawn.reshape(shape)

    def like(self, shapes: list[Shape]) -> list[Array]:
        return [self.normal(*shape) for shape in shapes]
