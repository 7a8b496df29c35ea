"""Writing through Gaussian filters in CUDA (csrc/attention_write/kernel.cu).

Where the filters of a datum do not fit into the shared memory of a block, the canvas is large
and the products are the array module's: reference.py, on the device where the arrays are.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.kernels.attention_write import reference
from backhand.kernels.attention_write.reference import Saved
from backhand.kernels.cuda_tools import as_rows, launch
from backhand.kernels.filterbank.cuda import (
    BLOCKS,
    SHARED_MOST,
    log_of,
    product_threads,
    shared_bytes,
)
from backhand.numerics import xp_of


def forward(
    head: Array, w: Array, height: int, width: int, eps: float = 1e-8
) -> tuple[Array, Saved]:
    C, N = w.shape[-3:-1]
    shared = shared_bytes(N, height, width, False, w.dtype.itemsize)
    if shared > SHARED_MOST:
        return reference.forward(head, w, height, width, eps)
    xp, heads = xp_of(w), as_rows(head)
    c = xp.empty((*head.shape[:-1], C, height, width), w.dtype)
    arguments = (
        c, heads, xp.ascontiguousarray(w), log_of(eps), len(heads), C, N, height, width,
    )  # fmt: skip
    launch(
        "attention_write", "attention_write_forward", min(len(heads), BLOCKS),
        product_threads(N, height, width), arguments, shared,
    )  # fmt: skip
    return c, Saved(head, w, height, width, eps)


def backward(dc: Array, saved: Saved) -> tuple[Array, Array]:
    head, w, height, width, eps = saved
    C, N = w.shape[-3:-1]
    shared = shared_bytes(N, height, width, True, w.dtype.itemsize)
    if shared > SHARED_MOST:
        return reference.backward(dc, saved)
    xp, heads = xp_of(w), as_rows(head)
    d_head, dw = xp.empty(head.shape, w.dtype), xp.empty(w.shape, w.dtype)
    given = map(xp.ascontiguousarray, (dc, heads, w))
    arguments = (d_head, dw, *given, log_of(eps), len(heads), C, N, height, width)
    launch(
        "attention_write", "attention_write_backward", min(len(heads), BLOCKS),
        product_threads(N, height, width), arguments, shared,
    )  # fmt: skip
    return d_head, dw
