"""How the Numba kernels are compiled and shared out among threads.

Write hot loops as ``for i in range(len(row))`` over slices made beforehand: an index that might
be negative, ``start + i`` for instance, costs a branch for Python's wrap-around, and the loop is
not vectorised (measured: Adam five times slower).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numba.core.compiler import Compiler

from backhand import threads
from backhand._types import Array

BLOCK = 64  # rows that are added before a sum goes on in double
HAND_OVER = 50e-6  # seconds of work that repay waking another thread

# Infinities and NaN keep their meaning; sums may be reordered, so that they vectorise.  Compiled
# at the first call for each dtype (about a second), and kept in Numba's cache from then on.
jit = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})


class _Apart(Compiler):
    """No argument overlaps another, which Numba can tell LLVM but has no option for."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()  # type: ignore[no-untyped-call]


# For functions that are called with arrays apart from each other: short loops need no check of
# it, and sums stay in registers (small products: twice as fast).
jit_apart = njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"},
    pipeline_class=_Apart,
)  # fmt: skip

# The same without reordering, for what cancels: log(total) - (x - top).
jit_in_order = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@cache
def _pool(helpers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(helpers, thread_name_prefix="backhand-numba")


def over_rows(kernel: Callable[..., None], rows: int, seconds: float, *args: Any) -> None:
    """kernel(begin, end, *args) over [0, rows), in one piece for each thread of the kernels.

    seconds: about how long one row takes; short work stays on the calling thread.
    """
    args = tuple([_writeable(x) if isinstance(x, np.ndarray) else x for x in args])
    pieces = min(threads.numba_threads(), rows, int(rows * seconds / HAND_OVER))
    if pieces <= 1:
        kernel(0, rows, *args)
        return
    cuts = [rows * i // pieces for i in range(pieces + 1)]
    pool = _pool(threads.numba_threads() - 1)
    waiting = [pool.submit(kernel, a, b, *args) for a, b in itertools.pairwise(cuts[1:])]
    kernel(cuts[0], cuts[1], *args)
    for piece in waiting:
        piece.result()


def _writeable(x: Array) -> Array:
    """Without the mark of an output that is kept: Numba would compile everything again for it."""
    if not x.flags.writeable and x.base is not None and x.base.flags.writeable:
        x = x.view()
        x.flags.writeable = True
    return x


def as_rows(x: Array) -> Array:
    """(..., O) as contiguous rows (R, O): every kernel is compiled for one layout alone."""
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def sum_rows(x: Array) -> Array:
    """The sum over rows, (R, O) -> (O,): up to ``BLOCK`` rows in x's own type, those in double."""
    total = np.zeros(x.shape[1])
    _sum_rows(total, np.zeros(x.shape[1], x.dtype), x)
    return total.astype(x.dtype)


@jit
def _sum_rows(total: Any, block: Any, x: Any) -> None:
    for start in range(0, len(x), BLOCK):
        block[:] = 0
        for r in range(start, min(start + BLOCK, len(x))):
            for i in range(x.shape[1]):
                block[i] += x[r, i]
        for i in range(x.shape[1]):
            total[i] += block[i]
