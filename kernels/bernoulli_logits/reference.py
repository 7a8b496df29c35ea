"""Bernoulli log-likelihood from logits: NumPy."""

from __future__ import annotations

from typing import NamedTuple

from backhand._types import Array
from backhand.numerics import sigmoid, softplus, sum_samples


class Saved(NamedTuple):
    x: Array  # (..., D)
    logits: Array  # (K, ..., D)


def forward(x: Array, logits: Array) -> tuple[Array, Saved]:
    logp = (x * logits - softplus(logits)).sum(axis=-1)  # [bernoulli_logits.1]
    return logp, Saved(x, logits)


def backward(d_logp: Array, saved: Saved, need_x: bool) -> tuple[Array | None, Array]:
    x, logits = saved
    d = d_logp[..., None]  # (K, ..., 1)
    d_logits = d * (x - sigmoid(logits))  # [bernoulli_logits.2]
    dx = sum_samples(d * logits, x.ndim) if need_x else None  # [bernoulli_logits.3]
    return dx, d_logits
