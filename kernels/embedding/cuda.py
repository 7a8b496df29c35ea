"""Embedding in CUDA (csrc/embedding/kernel.cu)."""

from __future__ import annotations

from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.cuda_tools import as_rows, blocks, launch
from backhand.kernels.embedding.reference import Saved
from backhand.numerics import xp_of

PIECE = 32  # of csrc/embedding/kernel.cu
BLOCK = (32, 8)  # threads along the columns, rows


def forward(W: Array, ids: Array) -> tuple[Array, Saved]:
    xp, at = xp_of(W), _flat(ids)
    y = xp.empty((*ids.shape, W.shape[1]), W.dtype)
    arguments = (y, xp.ascontiguousarray(W), at, len(at), W.shape[1])
    launch("embedding", "embedding_forward", blocks(len(at), BLOCK[1]), BLOCK, arguments)
    return y, Saved(W, ids)


def backward(dy: Array, saved: Saved) -> Array:
    dW: Array = xp_of(dy).zeros(saved.W.shape, dy.dtype)
    add_at(dW, saved.ids, dy)
    return dW


def add_at(W: Array, ids: Array, dy: Array) -> None:
    xp, at, rows = xp_of(W), _flat(ids), as_rows(dy)
    order = xp.argsort(at, kind="stable")  # uses of a row stay in their order
    at = at[order]
    N, cols = rows.shape
    pieces = -(-N // PIECE)
    heads = xp.empty((pieces, cols), W.dtype)
    grid = blocks(cols, BLOCK[0]), blocks(pieces, BLOCK[1])
    _add("pieces", grid, W, heads, at, order, rows, N, cols)
    if pieces > 1:
        _add("heads", grid, W, heads, at, N, cols)


def _add(kernel: str, grid: tuple[int, int], *arguments: Any) -> None:
    launch("embedding", f"embedding_add_{kernel}", grid, BLOCK, arguments)


def _flat(ids: Array) -> Array:
    flat: Array = xp_of(ids).ascontiguousarray(ids, dtype=np.int64).reshape(-1)
    return flat
