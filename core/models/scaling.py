"""Real-valued columns, brought to mean 0 and deviation 1 and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from backhand._types import Array
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
        rows = x.reshape(len(x), size).astype(np.float64)
        std = rows.std(axis=0)
        scale = np.where(std > 0, std, 1.0)
        return cls(rows.mean(axis=0).astype(dtype), scale.astype(dtype))

    def __call__(self, x: Array) -> Array:
        return (x - self.shift) / self.scale

    def undo(self, y: Array) -> Array:
        return y * self.scale + self.shift

    def log_volume(self) -> Array:
        """log |det dx/dy|, to be subtracted from a log-density of y: it becomes one of x."""
        return xp_of(self.scale).log(self.scale).sum()  # type: ignore[no-any-return]
