"""Initial values, each drawn from the counter-based noise under its own number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.noise import Noise


class Initial:
    """Hands out initial values; equal seeds and equal orders of calls give equal values."""

    def __init__(self, seed: int, dtype: Any = "float32") -> None:
        self.noise = Noise(seed)
        self.dtype = np.dtype(dtype)
        self._calls = 0

    def glorot(self, inputs: int, outputs: int) -> Array:
        """Uniform on +-sqrt(6 / (inputs + outputs)), (inputs, outputs).  Glorot & Bengio 2010."""
        return self.uniform(math.sqrt(6 / (inputs + outputs)), inputs, outputs)

    def uniform(self, limit: float, *shape: int) -> Array:
        """Uniform on +-limit."""
        return limit * (2 * self._uniform(shape) - 1)

    def zeros(self, *shape: int) -> Array:
        return np.zeros(shape, self.dtype)

    def full(self, value: float, *shape: int) -> Array:
        return np.full(shape, value, self.dtype)

    def _uniform(self, shape: tuple[int, ...]) -> Array:
        u = self.noise.uniform(
            "init", np.zeros(1, np.int64), shape, layer=self._calls, dtype=self.dtype
        )
        self._calls += 1
        return u[0]  # type: ignore[no-any-return]
