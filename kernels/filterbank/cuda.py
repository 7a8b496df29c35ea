"""Gaussian filters in CUDA (csrc/filterbank/kernel.cu)."""

from __future__ import annotations

import math

from backhand._types import Array
from backhand.kernels.cuda_tools import SHARED, as_rows, launch
from backhand.kernels.filterbank.reference import Saved
from backhand.numerics import xp_of

BLOCKS = 65535  # a datum each; more are taken in turns
STRIP = 32  # rows of an image that are in shared memory at a time
SHARED_MOST = SHARED - 32 * 8  # bytes; a sum over the block takes the rest


def forward(
    head: Array, N: int, height: int, width: int, eps: float = 1e-8
) -> tuple[Array, Array, Array, Saved]:
    xp, batch = xp_of(head), head.shape[:-1]
    F_Y = xp.empty((*batch, N, height), head.dtype)
    F_X = xp.empty((*batch, N, width), head.dtype)
    gamma = xp.empty(batch, head.dtype)
    heads = as_rows(head)
    arguments = (F_Y, F_X, gamma, heads, log_of(eps), len(heads), N, height, width)
    grid = min(len(heads), BLOCKS)
    launch("filterbank", "filterbank_forward", grid, _threads(N), arguments)
    return F_Y, F_X, gamma, Saved(head, F_Y, F_X)


def backward(dF_Y: Array, dF_X: Array, dgamma: Array, saved: Saved) -> Array:
    xp, heads = xp_of(dF_Y), as_rows(saved.head)
    d_head: Array = xp.empty(saved.head.shape, saved.head.dtype)
    given = (dF_Y, dF_X, dgamma, heads, saved.F_Y, saved.F_X)
    (N, height), width = saved.F_Y.shape[-2:], saved.F_X.shape[-1]
    arguments = (d_head, *map(xp.ascontiguousarray, given), len(heads), N, height, width)
    grid = min(len(heads), BLOCKS)
    launch("filterbank", "filterbank_backward", grid, _threads(N), arguments)
    return d_head


def log_of(eps: float) -> float:
    return math.log(eps) if eps > 0 else -math.inf


def _threads(N: int) -> int:
    """A warp for each filter of both sides, to eight."""
    return 32 * min(2 * N, 8)


def shared_bytes(N: int, height: int, width: int, backward: bool, itemsize: int) -> int:
    """Shared memory of a block that reads or writes: csrc/filterbank/products_device.h."""
    high, wide = height | 1, width | 1
    numbers = N * (high + 2 * wide) + STRIP * wide + N * N
    if backward:
        numbers += N * (high + 2 * wide)
    return itemsize * numbers


def product_threads(N: int, height: int, width: int) -> int:
    """Of a block that reads or writes: two rows of a product each, in whole warps."""
    pairs = -(-N // 2) * max(height, width)
    return 32 * min(max(-(-pairs // 32), 2), 8)
