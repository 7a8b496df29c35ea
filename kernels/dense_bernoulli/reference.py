"""Layers that end in a Bernoulli log-likelihood: NumPy."""

from __future__ import annotations

from collections.abc import Sequence

from backhand._types import Array
from backhand.kernels.dense import reference as dense
from backhand.kernels.dense.reference import Saved
from backhand.numerics import sigmoid, softplus


def forward(
    h: Array, Ws: Sequence[Array], bs: Sequence[Array], activations: Sequence[str], x: Array
) -> tuple[Array, Saved]:
    logits, (h, Ws, ys, activations) = dense.forward(h, Ws, bs, activations)  # [dense_bernoulli.1]
    logp = (x * logits - softplus(logits)).sum(axis=-1)  # [dense_bernoulli.2]
    slopes = x - sigmoid(logits)  # [dense_bernoulli.3]
    return logp, Saved(h, Ws, [*ys[:-1], slopes], activations)


def backward(
    d_logp: Array, saved: Saved, dWs: Sequence[Array] | None = None,
    dbs: Sequence[Array] | None = None, need_h: bool = True,
) -> tuple[Array | None, Sequence[Array], Sequence[Array]]:  # fmt: skip
    d_logits = d_logp[..., None] * saved.ys[-1]  # [dense_bernoulli.4]
    return dense.backward(d_logits, saved, dWs, dbs, need_h)  # type: ignore[no-any-return]
