"""Mean and log-variance of a diagonal Gaussian, read off one product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from backhand._types import Array
from backhand.layers.initial import Initial
from backhand.layers.linear import Linear
from backhand.model import Gaussian
from backhand.numerics import xp_of


@dataclass
class GaussianHead:
    """(mean, s) = x W + b, and logvar = 2 s: ``s`` is a log standard deviation.

    x: (..., I); mean, logvar: (..., Z).  With ``bound`` > 0, s is replaced by
    bound * tanh(s / bound), whose derivative 1 - tanh^2 fades as |s| nears the bound.
    """

    linear: Linear
    bound: float = 0.0

    @classmethod
    def create(cls, initial: Initial, inputs: int, outputs: int, bound: float = 0.0) -> Self:
        # Each half has its own fan-out, as two maps would.
        W = [initial.glorot(inputs, outputs), initial.glorot(inputs, outputs)]
        xp = xp_of(W[0])
        return cls(Linear(xp.concatenate(W, axis=1), initial.zeros(2 * outputs)), bound)

    def __call__(self, x: Array) -> tuple[Gaussian, Callable[..., Any]]:
        y, back_linear = self.linear(x)
        q, back_split = self.split(y)

        def backward(dmean: Array, dlogvar: Array, g: Any, need_x: bool = True) -> Any:
            return back_linear(back_split(dmean, dlogvar), g.linear, need_x=need_x)

        return q, backward

    def split(self, y: Array) -> tuple[Gaussian, Callable[[Array, Array], Array]]:
        """What the linear map gave, (..., 2 Z), as mean and logvar; backward gives its dy."""
        xp = xp_of(y)
        Z = y.shape[-1] // 2
        mean, s = y[..., :Z], y[..., Z:]
        if self.bound:
            t = xp.tanh(s / s.dtype.type(self.bound))
            s = s.dtype.type(self.bound) * t
        logvar = s + s

        def backward(dmean: Array, dlogvar: Array) -> Array:
            ds = dlogvar + dlogvar
            if self.bound:
                ds = ds * (1 - t * t)
            return xp.concatenate([dmean, ds], axis=-1)  # type: ignore[no-any-return]

        return Gaussian(mean, logvar), backward
