"""A causal dilated convolution over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from backhand._types import Array
from backhand.grads import NO_GRAD
from backhand.kernels import causal_conv
from backhand.layers.initial import Initial
from backhand.numerics import xp_of


@dataclass
class CausalConv:
    """y_t = f(sum_k x_{t - k d} W_k + b), zero before the first step.

    x: (..., T, I), W: (K, I, O), b: (O,), y: (..., T, O); d is ``dilation``.  ``need_x=False``
    where x is data, and NO_GRAD for g, save the backward a product each.
    """

    W: Array
    b: Array
    dilation: int
    activation: str

    @classmethod
    def create(
        cls,
        initial: Initial,
        inputs: int,
        outputs: int,
        width: int,
        dilation: int = 1,
        activation: str = "identity",
    ) -> Self:
        """``width`` is K.  Uniform on +-sqrt(6 / (K (inputs + outputs))): K terms are summed."""
        taps = [initial.glorot(inputs, outputs) / width**0.5 for _ in range(width)]
        return cls(xp_of(taps[0]).stack(taps), initial.zeros(outputs), dilation, activation)

    def __call__(self, x: Array) -> tuple[Array, Callable[..., Any]]:
        run = causal_conv.OP.resolve(None, x, self.W, self.b)
        y, saved = causal_conv.forward(
            x, self.W, self.b, self.dilation, self.activation, backend=run
        )

        def backward(dy: Array, g: Any, need_x: bool = True) -> Array | None:
            need_W = g.W is not NO_GRAD
            dx, dW, db = causal_conv.backward(dy, saved, need_x, need_W, backend=run)
            g.b.add(db)
            g.W.add(dW)
            return dx

        return y, backward
