"""Affine maps, and none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from backhand._types import Array
from backhand.grads import claim_all
from backhand.kernels import bias_activation, dense, dense_bernoulli, matrix_product
from backhand.kernels.bias_activation.reference import Saved
from backhand.kernels.dense.reference import Saved as Layers
from backhand.layers.initial import Initial

Backward = Callable[..., Any]  # dx = backward(dy, g); need_x=False where x is data: no dx


def affine(x: Array, layers: Sequence[Any]) -> tuple[Array, Backward]:
    """y = f(x W + b) of each layer, x the y before; its backward has a g with W and b for each.

    layers: one or more with W, b and the name of an activation.
    """
    Ws, bs, activations = _parts(layers)
    run = dense.OP.resolve(None, x, *Ws, *bs)
    y, saved = dense.forward_layers(x, Ws, bs, activations, backend=run)

    def backward(dy: Array, gs: Sequence[Any], need_x: bool = True) -> Array | None:
        gs = listed(layers, gs)
        dWs, dbs = _claimed(gs, dy)
        if dWs is not None:
            return dense.backward_layers(dy, saved, dWs=dWs, dbs=dbs, need_x=need_x, backend=run)[0]
        return _one_by_one(dy, saved, gs, need_x, run)

    return y, backward


def bernoulli_of(h: Array, layers: Sequence[Any], x: Array) -> tuple[Array, Backward]:
    """log p(x | logits), (K, B), the logits being what ``affine`` gives; h (K, B, I), x (B, D)."""
    Ws, bs, activations = _parts(layers)
    run = dense_bernoulli.OP.resolve(None, h, x, *Ws, *bs)
    logp, saved = dense_bernoulli.forward(h, Ws, bs, activations, x, backend=run)

    def backward(d_logp: Array, gs: Sequence[Any], need_h: bool = True) -> Array | None:
        gs = listed(layers, gs)
        dWs, dbs = _claimed(gs, d_logp)
        if dWs is not None:
            return dense_bernoulli.backward(
                d_logp, saved, dWs=dWs, dbs=dbs, need_h=need_h, backend=run
            )[0]
        return _one_by_one(d_logp[..., None] * saved.ys[-1], saved, gs, need_h, run)

    return logp, backward


def listed(layers: Sequence[Any], gs: Any) -> list[Any]:
    """As many gradients as layers, of which NO_GRAD is without end; ValueError for fewer."""
    found = [g for _, g in zip(layers, gs, strict=False)]
    if len(found) < len(layers):
        raise ValueError(f"{len(layers)} layers, but gradients for {len(found)}")
    return found


def _parts(layers: Sequence[Any]) -> tuple[list[Array], list[Array], list[str]]:
    return [p.W for p in layers], [p.b for p in layers], [p.activation for p in layers]


def _claimed(gs: Sequence[Any], dy: Array) -> tuple[list[Array], list[Array]] | tuple[None, None]:
    """The places of all gradients of W and of b, where they may be written there."""
    views = claim_all([*(g.W for g in gs), *(g.b for g in gs)], dy.dtype)
    return (None, None) if views is None else (views[: len(gs)], views[len(gs) :])


def _one_by_one(dy: Any, saved: Layers, gs: Sequence[Any], need_x: bool, run: str) -> Array | None:
    """Where gradients are added, deferred or not wanted."""
    for i in reversed(range(len(gs))):
        x_i, y_i, f = saved.ys[i - 1] if i else saved.x, saved.ys[i], saved.activations[i]
        if f != "identity":
            dy, _ = bias_activation.backward(dy, Saved(y_i, f, False), backend=run)
        gs[i].W.add_outer(x_i, dy, gs[i].b)
        W = saved.Ws[i]
        dy = matrix_product.times_transposed(dy, W, backend=run) if need_x or i else None
    return dy  # type: ignore[no-any-return]


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
