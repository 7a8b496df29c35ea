"""Layers and their likelihood from the ops of a backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from backhand._types import Array
from backhand.kernels.dense.reference import Saved
from backhand.numerics import xp_of


def composed(
    layers_forward: Callable[..., Any], layers_backward: Callable[..., Any], likelihood: ModuleType
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(forward, backward) from those of ``dense`` and a module of ``bernoulli_logits``."""

    def forward(
        h: Array, Ws: Sequence[Array], bs: Sequence[Array], activations: Sequence[str], x: Array
    ) -> tuple[Array, Saved]:
        logits, (h, Ws, ys, activations) = layers_forward(h, Ws, bs, activations)
        logp, saved = likelihood.forward(x, logits)
        ones = xp_of(logp).ones_like(logp)
        _, slopes = likelihood.backward(ones, saved, False)
        return logp, Saved(h, Ws, [*ys[:-1], slopes], activations)

    def backward(
        d_logp: Array, saved: Saved, dWs: Sequence[Array] | None = None,
        dbs: Sequence[Array] | None = None, need_h: bool = True,
    ) -> tuple[Array | None, Sequence[Array], Sequence[Array]]:  # fmt: skip
        d_logits = d_logp[..., None] * saved.ys[-1]
        return layers_backward(d_logits, saved, dWs, dbs, need_h)  # type: ignore[no-any-return]

    return forward, backward
