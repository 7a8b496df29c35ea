"""Rows of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from backhand._types import Array
from backhand.kernels import embedding
from backhand.layers.initial import Initial


@dataclass
class Embedding:
    """y = W[ids].   ids: (...), integers in [0, V), W: (V, D), y: (..., D)."""

    W: Array

    @classmethod
    def create(cls, initial: Initial, rows: int, size: int, limit: float = 0.1) -> Self:
        """Uniform on +-limit."""
        return cls(initial.uniform(limit, rows, size))

    def __call__(self, ids: Array) -> tuple[Array, Callable[..., None]]:
        run = embedding.OP.resolve(None, self.W)
        y, _ = embedding.forward(self.W, ids, backend=run)

        def backward(dy: Array, g: Any) -> None:
            g.W.add_at(ids, dy, backend=run)

        return y, backward
