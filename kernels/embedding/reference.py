"""Embedding: NumPy."""

from __future__ import annotations

from typing import NamedTuple

from backhand._types import Array
from backhand.numerics import xp_of


class Saved(NamedTuple):
    W: Array  # (V, D), for its shape
    ids: Array  # (...)


def forward(W: Array, ids: Array) -> tuple[Array, Saved]:
    return W[ids], Saved(W, ids)  # [embedding.1]


def backward(dy: Array, saved: Saved) -> Array:
    dW = xp_of(dy).zeros(saved.W.shape, dy.dtype)
    add_at(dW, saved.ids, dy)
    return dW  # type: ignore[no-any-return]


def add_at(W: Array, ids: Array, dy: Array) -> None:
    xp_of(W).add.at(W, ids, dy)  # [embedding.2]
