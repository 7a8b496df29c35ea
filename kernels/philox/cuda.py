"""Philox 4x32-10 in CUDA (csrc/philox/kernel.cu)."""

from __future__ import annotations

from typing import Any

import numpy as np

from backhand._types import Array, DType
from backhand.kernels.cuda_tools import as_rows, blocks, launch
from backhand.numerics import xp_of

THREADS = 128  # four elements each


def integers(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int
) -> Array:
    return _draw("philox_draw_integers", np.dtype(np.uint32), (), key, index, step, n, count, first)


def uniform(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int, dtype: DType
) -> Array:
    return _draw("philox_draw_uniforms", dtype, (), key, index, step, n, count, first)


def normal(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int, dtype: DType
) -> Array:
    return _draw("philox_draw_normals", dtype, (), key, index, step, n, count, first)


def bernoulli(
    key: tuple[int, int], index: Array, step: int, p: Array, count: int, first: int
) -> Array:
    chances = as_rows(p)
    n = p.shape[-1]
    more = (chances, len(chances))
    return _draw("philox_draw_bernoullis", p.dtype, more, key, index, step, n, count, first)


def _draw(
    kernel: str, dtype: DType, more: tuple[Any, ...], key: tuple[int, int], index: Array,
    step: int, n: int, count: int, first: int,
) -> Array:  # fmt: skip
    xp = xp_of(index)
    rows = len(index)
    out: Array = xp.empty((count, rows, n), dtype)
    datum = xp.ascontiguousarray(index, dtype=np.uint32)
    grid = blocks(count * rows * -(-n // 4), THREADS)
    arguments = (out, *more, datum, *key, step, first, count * rows, rows, n)
    launch("philox", kernel, grid, THREADS, arguments)
    return out
