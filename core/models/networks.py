"""Feed-forward networks with their backward passes: to a Gaussian, and to a likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from backhand._types import Array
from backhand.layers import MLP, GaussianHead, Initial
from backhand.layers.linear import affine, listed
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
        y, back_layers = self._layers(x)
        q, back_split = self.head.split(y)

        def backward(dmean: Array, dlogvar: Array, g: Any, need_x: bool = True) -> Array | None:
            return back_layers(back_split(dmean, dlogvar), g, need_x)

        return q, backward

    def stats(self, x: Array) -> tuple[Array, Callable[..., Array | None]]:
        """Mean and log standard deviation beside each other, (..., 2 Z); backward(dstats, g)."""
        y, back_layers = self._layers(x)
        stats, back_bound = self.head.bounded(y)

        def backward(dstats: Array, g: Any, need_x: bool = True) -> Array | None:
            return back_layers(back_bound(dstats), g, need_x)

        return stats, backward

    def _layers(self, x: Array) -> tuple[Array, Callable[..., Array | None]]:
        y, back_layers = affine(x, (*self.mlp.layers, self.head.linear))  # (..., 2 Z)

        def backward(dy: Array, g: Any, need_x: bool) -> Array | None:
            gs = (*listed(self.mlp.layers, g.mlp.layers), g.head.linear)
            return back_layers(dy, gs, need_x)  # type: ignore[no-any-return]

        return y, backward


@dataclass
class Decoder:
    """z (K, B, Z) and x (B, D) -> log p(x|z) (K, B)."""

    mlp: MLP
    output: Output

    def __call__(self, z: Array, x: Array) -> tuple[Array, Callable[..., Array]]:
        logp, back_output = self.output(z, x, self.mlp.layers)

        def backward(d_logp: Array, g: Any) -> Array:
            return back_output(d_logp, g.output, g.mlp.layers)  # type: ignore[no-any-return]

        return logp, backward
