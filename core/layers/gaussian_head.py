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
        stats, back_bound = self.bounded(y)
        Z = y.shape[-1] // 2
        mean, s = stats[..., :Z], stats[..., Z:]

        def backward(dmean: Array, dlogvar: Array) -> Array:
            dstats = xp.concatenate([dmean, dlogvar + dlogvar], axis=-1)
            return back_bound(dstats)

        return Gaussian(mean, s + s), backward

    def bounded(self, y: Array) -> tuple[Array, Callable[[Array], Array]]:
        """(mean, s) beside each other, (..., 2 Z), s within the bound; backward gives dy."""
        if not self.bound:
            return y, lambda dstats: dstats
        xp, Z = xp_of(y), y.shape[-1] // 2
        bound = y.dtype.type(self.bound)
        t = xp.tanh(y[..., Z:] / bound)
        stats = xp.concatenate([y[..., :Z], bound * t], axis=-1)

        def backward(dstats: Array) -> Array:
            ds = dstats[..., Z:] * (1 - t * t)
            return xp.concatenate([dstats[..., :Z], ds], axis=-1)  # type: ignore[no-any-return]

        return stats, backward
