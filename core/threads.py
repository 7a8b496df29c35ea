"""How many threads the matrix products take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def set_threads(*, blas: int) -> None:
    """Let BLAS use ``blas`` threads from now on, in the whole process."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=_count(blas), user_api="blas")


@contextmanager
def blas_threads(count: int) -> Iterator[None]:
    """BLAS on ``count`` threads inside the block."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=_count(count), user_api="blas"):
        yield


def thread_counts() -> dict[str, int]:
    """Threads by library, as they are set now: {"openblas": 2}."""
    from threadpoolctl import threadpool_info

    return {str(pool["internal_api"]): int(pool["num_threads"]) for pool in threadpool_info()}


def _count(n: int) -> int:
    if n < 1:
        raise ValueError(f"the number of threads must be at least 1, got {n}")
    return n
