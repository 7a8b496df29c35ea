"""Where DRAW's recursion stands: the canvas and the states of both LSTMs.  R rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from backhand._types import Array
from backhand.layers import Initial, State
from backhand.model import Gaussian
from backhand.numerics import xp_of


class Canvas(NamedTuple):
    c: Array  # (R, D)
    encoder: State  # (R, H) each
    decoder: State  # (R, H) each


class Step(NamedTuple):
    after: Canvas
    q: Gaussian  # (R, Z) each
    z: Array  # (R, Z)
    kl: Array  # (R, Z)
    backward: Callable[[Canvas, Array, Any], Canvas]  # (gradient of after, dkl, g)


@dataclass
class Start:
    """The learned c_0, he_0 and hd_0, for every row the same; the cells start at zero."""

    c: Array  # (D,)
    encoder: Array  # (H,)
    decoder: Array  # (H,)

    @classmethod
    def create(cls, initial: Initial, c: Array, hidden: int) -> Self:
        """c (D,): where the canvas starts."""
        return cls(c.astype(initial.dtype), initial.zeros(hidden), initial.zeros(hidden))

    def __call__(self, rows: int) -> tuple[Canvas, Callable[[Canvas, Any], None]]:
        xp = xp_of(self.c)
        c, he, hd = (
            xp.broadcast_to(a, (rows, len(a))).copy() for a in (self.c, self.encoder, self.decoder)
        )
        encoder, decoder = State(he, xp.zeros_like(he)), State(hd, xp.zeros_like(hd))

        def backward(d: Canvas, g: Any) -> None:
            g.c.add_rows(d.c)
            g.encoder.add_rows(d.encoder.h)
            g.decoder.add_rows(d.decoder.h)

        return Canvas(c, encoder, decoder), backward
