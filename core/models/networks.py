"""Feed-forward networks with their backward passes: to a Gaussian, and to a likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from backhand._types import Array
from backhand.layers import MLP, GaussianHead, Initial
from backhand.layers.linear import affine
from backhand.model import Gaussian
from backhand.models.outputs import Output


@dataclass
class GaussianNet:
    """x (..., I) -> mean, logvar (..., Z): a stack of layers and a head."""

    mlp: MLP
    head: GaussianHead

    @classmethod
    def create(
        cls, initial: Initial, inputs: int, hidden: Sequence[int], latent: int, activation: str,
        bound: float,
    ) -> Self:  # fmt: skip
        mlp = MLP.create(initial, inputs, hidden, activation)
        top = hidden[-1] if hidden else inputs
        return cls(mlp, GaussianHead.create(initial, top, latent, bound))

    def __call__(self, x: Array) -> tuple[Gaussian, Callable[..., Any]]:
        y, back_layers = affine(x, (*self.mlp.layers, self.head.linear))  # (..., 2 Z)
        q, back_split = self.head.split(y)

        def backward(dmean: Array, dlogvar: Array, g: Any, need_x: bool = True) -> Array | None:
            hidden = [part for _, part in zip(self.mlp.layers, g.mlp.layers, strict=False)]
            dy = back_split(dmean, dlogvar)
            return back_layers(dy, (*hidden, g.head.linear), need_x)  # type: ignore[no-any-return]

        return q, backward


@dataclass
class Decoder:
    """z (K, B, Z) and x (B, D) -> log p(x|z) (K, B)."""

    mlp: MLP
    output: Output

    def __call__(self, z: Array, x: Array) -> tuple[Array, Callable[..., Array]]:
        h, back_mlp = self.mlp(z)  # (K, B, H)
        logp, back_output = self.output(h, x)  # (K, B)

        def backward(d_logp: Array, g: Any) -> Array:
            return back_mlp(back_output(d_logp, g.output), g.mlp)  # type: ignore[no-any-return]

        return logp, backward
