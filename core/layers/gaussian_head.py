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
        xp = xp_of(x)
        y, back_linear = self.linear(x)
        Z = y.shape[-1] // 2
        mean, s = y[..., :Z], y[..., Z:]
        if self.bound:
            t = xp.tanh(s / s.dtype.type(self.bound))
            s = s.dtype.type(self.bound) * t
        logvar = s + s

        def backward(dmean: Array, dlogvar: Array, g: Any, need_x: bool = True) -> Any:
            ds = dlogvar + dlogvar
            if self.bound:
                ds = ds * (1 - t * t)
            return back_linear(xp.concatenate([dmean, ds], axis=-1), g.linear, need_x=need_x)

        return Gaussian(mean, logvar), backward
