"""Embedding in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.embedding.reference import Saved
from backhand.kernels.numba_tools import BLOCK, as_rows, jit, over_rows

COPY = 0.2e-9  # seconds for a byte


def forward(W: Array, ids: Array) -> tuple[Array, Saved]:
    rows = np.ascontiguousarray(ids, np.int64).reshape(-1)
    table = as_rows(W)
    y = np.empty((len(rows), W.shape[1]), W.dtype)
    over_rows(_forward, len(rows), 2 * COPY * W.itemsize * W.shape[1], y, table, rows)
    return y.reshape(*ids.shape, W.shape[1]), Saved(W, ids)


def backward(dy: Array, saved: Saved) -> Array:
    dW = np.zeros(saved.W.shape, dy.dtype)
    add_at(dW, saved.ids, dy)
    return dW


def add_at(W: Array, ids: Array, dy: Array) -> None:
    rows = np.ascontiguousarray(ids, np.int64).reshape(-1)
    first, order = np.zeros(len(W) + 1, np.int64), np.empty(len(rows), np.int64)
    _order(first, order, rows)
    seconds = 3 * COPY * W.itemsize * len(rows)  # for one column
    over_rows(_add_at, W.shape[1], seconds, W, as_rows(dy), rows, first, order)


@jit
def _forward(begin: int, end: int, y: Any, W: Any, ids: Any) -> None:
    for n in range(begin, end):
        y[n] = W[ids[n]]  # [embedding.1]


@jit
def _order(first: Any, order: Any, ids: Any) -> None:
    """A stable counting sort: the uses of row v are order[first[v]:first[v + 1]]."""
    for n in range(len(ids)):
        first[ids[n]] += 1
    total = 0
    for v in range(len(first)):
        total += first[v]
        first[v] = total
    for n in range(len(ids) - 1, -1, -1):
        first[ids[n]] -= 1
        order[first[ids[n]]] = n


@jit
def _add_at(begin: int, end: int, W: Any, dy: Any, ids: Any, first: Any, order: Any) -> None:
    """Of the columns begin:end."""
    block, total = np.zeros(end - begin, W.dtype), np.empty(end - begin)
    use = 0
    while use < len(order):
        v = ids[order[use]]
        last, row = first[v + 1], W[v, begin:end]
        if last - use <= BLOCK:
            for k in range(use, last):
                row += dy[order[k], begin:end]  # [embedding.2]
        else:
            total[:] = row
            for start in range(use, last, BLOCK):
                block[:] = 0
                for k in range(start, min(start + BLOCK, last)):
                    block += dy[order[k], begin:end]
                total += block
            row[:] = total
        use = last
