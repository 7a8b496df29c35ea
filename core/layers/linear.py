"""Affine maps, and none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from backhand._types import Array
from backhand.kernels import bias_activation, dense, matrix_product
from backhand.kernels.bias_activation.reference import Saved
from backhand.layers.initial import Initial

Backward = Callable[..., Any]  # dx = backward(dy, g); need_x=False where x is data: no dx


def affine(x: Array, layers: Sequence[Any]) -> tuple[Array, Backward]:
    """y = f(x W + b) of each layer, x the y before; its backward has a g with W and b for each.

    layers: one or more with W, b and the name of an activation.
    """
    Ws, bs = [layer.W for layer in layers], [layer.b for layer in layers]
    run = dense.OP.resolve(None, x, *Ws, *bs)
    y, saved = dense.forward_layers(x, Ws, bs, [layer.activation for layer in layers], backend=run)

    def backward(dy: Array, gs: Sequence[Any], need_x: bool = True) -> Array | None:
        gs = [g for _, g in zip(layers, gs, strict=False)]  # NO_GRAD is without end
        if all(g.W.takes(dy.dtype) and g.b.takes(dy.dtype) for g in gs):
            dWs, dbs = [g.W.claim() for g in gs], [g.b.claim() for g in gs]
            return dense.backward_layers(dy, saved, dWs=dWs, dbs=dbs, need_x=need_x, backend=run)[0]
        return one_by_one(dy, gs, need_x)

    def one_by_one(dy: Any, gs: Sequence[Any], need_x: bool) -> Array | None:
        """Where gradients are added, deferred or not wanted."""
        for i in reversed(range(len(layers))):
            x_i, y_i, f = saved.ys[i - 1] if i else x, saved.ys[i], saved.activations[i]
            if f != "identity":
                dy, _ = bias_activation.backward(dy, Saved(y_i, f, False), backend=run)
            gs[i].W.add_outer(x_i, dy, gs[i].b)
            dy = matrix_product.times_transposed(dy, Ws[i], backend=run) if need_x or i else None
        return dy  # type: ignore[no-any-return]

    return y, backward


@dataclass
class Linear:
    """y = x W + b.   x: (..., I), W: (I, O), b: (O,), y: (..., O).

    Where x is data, ``need_x=False`` saves the backward the product for dx.
    """

    activation: ClassVar[str] = "identity"

    W: Array
    b: Array

    @classmethod
    def create(cls, initial: Initial, inputs: int, outputs: int) -> Self:
        return cls(initial.glorot(inputs, outputs), initial.zeros(outputs))

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        y, backward = affine(x, (self,))
        return y, lambda dy, g, need_x=True: backward(dy, (g,), need_x)


@dataclass
class Identity:
    """y = x: in the place of a ``Linear`` where x is what it would have given."""

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        return x, lambda dy, g, need_x=True: dy if need_x else None
