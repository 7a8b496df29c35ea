"""Embedding: rows of a table, and the sum of their gradients.

    y_n = W[ids_n],   dW_v = sum of dy_n over the n with ids_n = v, in the order of n

W (V, D); ids (...), integers in [0, V); y (..., D).  An id out of range is an error that names the
first one; ids on a GPU are not looked at.  The sum has no atomic additions: it is the same for
any number of threads.
Saved: W (only its shape is used), ids.  Derivation: DERIVATION.md.
"""

from __future__ import annotations

import numpy as np

from backhand._types import Array
from backhand.backend import Op, is_device_array
from backhand.checks import check
from backhand.kernels.embedding.reference import Saved
from backhand.outputs import check_written

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(W: Array, ids: Array, *, backend: str | None = None) -> tuple[Array, Saved]:
    """y (..., D) and what the backward needs."""
    check("embedding", W=(W, "V D"), ids=(ids, "int ..."))
    _check_ids(ids, len(W))
    return OP.pick(backend, W).forward(W, ids)  # type: ignore[no-any-return]


def backward(dy: Array, saved: Saved, *, backend: str | None = None) -> Array:
    """dW (V, D); ids have no gradient."""
    W, ids = saved
    check("embedding", W=(W, "V D"), ids=(ids, "int ..."), dy=(dy, "... D"))
    _check_ids(ids, len(W))  # they may have been changed since the forward
    return OP.pick(backend, dy).backward(dy, saved)  # type: ignore[no-any-return]


def add_at(W: Array, ids: Array, dy: Array, *, backend: str | None = None) -> None:
    """The backward into a sum that is there already: W[ids_n] += dy_n, in place."""
    check("embedding", W=(W, "V D"), ids=(ids, "int ..."), dy=(dy, "... D"))
    _check_ids(ids, len(W))
    check_written("embedding", W=W)
    OP.pick(backend, W, dy).add_at(W, ids, dy)


def _check_ids(ids: Array, rows: int) -> None:
    if ids.dtype.kind == "b":
        raise TypeError("embedding: ids must be integers, got bool")
    if is_device_array(ids) or not ids.size:  # to look would stop a GPU
        return
    if int(ids.min()) >= 0 and int(ids.max()) < rows:
        return
    flat = ids.reshape(-1)
    first = np.flatnonzero((flat < 0) | (flat >= rows))[0]
    at = [int(i) for i in np.unravel_index(first, ids.shape)]
    raise ValueError(f"embedding: ids must lie in [0, {rows}) (from W), got {flat[first]} at {at}")
