"""The feed-forward networks of a VAE: encoder and decoder with their backward passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backhand._types import Array
from backhand.layers import MLP, GaussianHead
from backhand.model import Gaussian
from backhand.models.outputs import Output


@dataclass
class Encoder:
    """x (B, D) -> mean, logvar (B, Z)."""

    mlp: MLP
    head: GaussianHead

    def __call__(self, x: Array) -> tuple[Gaussian, Callable[..., None]]:
        h, back_mlp = self.mlp(x)  # (B, H)
        q, back_head = self.head(h)  # (B, Z)

        def backward(dmean: Array, dlogvar: Array, g: Any) -> None:
            dh = back_head(dmean, dlogvar, g.head, need_x=bool(self.mlp.layers))
            back_mlp(dh, g.mlp, need_x=False)  # x is data: no dx

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
