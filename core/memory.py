"""Freed memory that stays with the process, for the next step.

A training step frees large arrays and soon asks for as many again.  glibc gives the end of its
heap back to the system in between, and the system fills new pages with zeros: at k = 50 that is a
sixth of the IWAE's step.  On other systems nothing happens here.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Parameters of mallopt(3), and values: arrays up to MAPPED come from the heap.  Both are where
# glibc's own adjustment ends in a process that has freed such an array.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MAPPED, TRIMMED, NEVER = 32 << 20, 64 << 20, 2**31 - 1


@contextmanager
def kept_memory() -> Iterator[None]:
    """Freed memory is kept inside the block, and given back at its end.

    Of the whole process: of two blocks that overlap on two threads, the one that ends first ends
    it.  Afterwards the thresholds stay where glibc's own adjustment ends.
    """
    keep_memory()
    try:
        yield
    finally:
        mallopt, trim = _malloc("mallopt"), _malloc("malloc_trim")
        if mallopt and trim:
            mallopt(M_TRIM_THRESHOLD, TRIMMED)
            trim(0)


def keep_memory() -> None:
    """From now on."""
    mallopt = _malloc("mallopt")
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, MAPPED)
        mallopt(M_TRIM_THRESHOLD, NEVER)


def _malloc(function: str) -> Callable[..., Any] | None:
    """That function of glibc, or None on another system."""
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), function, None)
