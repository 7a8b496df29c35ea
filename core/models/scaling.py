"""Real-valued columns, brought to mean 0 and deviation 1 and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from backhand._types import Array
from backhand.columns import moments
from backhand.numerics import xp_of
from backhand.params import constant


@dataclass
class Scaling:
    """Columns of x (N, D): (x - shift) / scale.  A constant column keeps scale 1."""

    shift: Array = constant()  # (D,)
    scale: Array = constant()  # (D,)

    @classmethod
    def fit(cls, x: Array | None, size: int, dtype: Any) -> Self:
        """From training data; without any, the identity, to be filled from a checkpoint."""
        if x is None:
            return cls(np.zeros(size, dtype), np.ones(size, dtype))
        mean, deviation = moments(x.reshape(len(x), size))
        std = deviation.astype(dtype)
        return cls(mean.astype(dtype), np.where(std > 0, std, std.dtype.type(1)))

    def __call__(self, x: Array) -> Array:
        return (x - self.shift) / self.scale

    def undo(self, y: Array) -> Array:
        return y * self.scale + self.shift

    def log_volume(self) -> Array:
        """log |det dx/dy|, to be subtracted from a log-density of y: it becomes one of x."""
        return xp_of(self.scale).log(self.scale).sum()  # type: ignore[no-any-return]
