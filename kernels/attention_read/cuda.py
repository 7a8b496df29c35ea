"""Reading through Gaussian filters in CUDA (csrc/attention_read/kernel.cu).

Where the filters of a datum do not fit into the shared memory of a block, the images are large
and the products are the array module's: reference.py, on the device where the arrays are.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.kernels.attention_read import reference
from backhand.kernels.attention_read.reference import Saved
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
    head: Array, x: Array, x_hat: Array | None, N: int, eps: float = 1e-8
) -> tuple[Array, Saved]:
    C, D, height, width = _sizes(x, x_hat)
    shared = shared_bytes(N, height, width, False, x.dtype.itemsize)
    if shared > SHARED_MOST:
        return reference.forward(head, x, x_hat, N, eps)
    xp, heads = xp_of(x), as_rows(head)
    r = xp.empty((*head.shape[:-1], C + D, N, N), x.dtype)
    arguments = (
        r, heads, _given(x), _given(x_hat), log_of(eps), len(heads), C, D, N, height, width,
    )  # fmt: skip
    launch(
        "attention_read", "attention_read_forward", min(len(heads), BLOCKS),
        product_threads(N, height, width), arguments, shared,
    )  # fmt: skip
    return r, Saved(head, x, x_hat, N, eps)


def backward(
    dr: Array, saved: Saved, need_x: bool = True, need_x_hat: bool = True
) -> tuple[Array, Array | None, Array | None]:
    head, x, x_hat, N, eps = saved
    C, D, height, width = _sizes(x, x_hat)
    shared = shared_bytes(N, height, width, True, x.dtype.itemsize)
    if shared > SHARED_MOST:
        return reference.backward(dr, saved, need_x, need_x_hat)
    xp, heads = xp_of(x), as_rows(head)
    d_head = xp.empty(head.shape, x.dtype)
    dx = xp.empty(x.shape, x.dtype) if need_x else None
    dx_hat = None if x_hat is None or not need_x_hat else xp.empty(x_hat.shape, x.dtype)
    arguments = (
        d_head, dx, dx_hat, _given(dr), heads, _given(x), _given(x_hat), log_of(eps), len(heads),
        C, D, N, height, width,
    )  # fmt: skip
    launch(
        "attention_read", "attention_read_backward", min(len(heads), BLOCKS),
        product_threads(N, height, width), arguments, shared,
    )  # fmt: skip
    return d_head, dx, dx_hat


def _sizes(x: Array, x_hat: Array | None) -> tuple[int, int, int, int]:
    C, height, width = x.shape[-3:]
    return C, 0 if x_hat is None else x_hat.shape[-3], height, width


def _given(x: Array | None) -> Array | None:
    return None if x is None else xp_of(x).ascontiguousarray(x)
