"""How many threads the matrix products and the kernels take.

Of three pools (BLAS, the compiled kernels, the Numba kernels) one may have several threads.
OpenBLAS's threads go on spinning after a product, and a second pool beside them waits for the
cores; what that costs was measured: docs/design.md, Threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from backhand.backend import named, status

MOST = 256  # more than any machine repays; each one is made, and takes a stack of its own
FEW_ROWS = 256  # for which the compiled products are as fast as those of BLAS, or faster
_blas = 0  # as it was set here; 0: it never was
_numba = 1
_parts = 1


def set_threads(
    *, blas: int | None = None, native: int | None = None, numba: int | None = None,
    parts: int | None = None,
) -> None:  # fmt: skip
    """Threads of each pool from now on, in the whole process; at most one may have several.

    parts: of a batch, each on a thread of its own (backhand.parts).

    The pools that are not named go down to one thread when a named one gets several.
    At first BLAS has what it took from the machine, and the kernels one.
    """
    named = {"blas": blas, "native": native, "numba": numba, "parts": parts}
    counts = {name: _count(n) for name, n in named.items() if n is not None}
    several = [f"{name}={n}" for name, n in counts.items() if n > 1]
    if len(several) > 1:
        raise ValueError(
            f"set_threads: {' and '.join(several)} would wait for each other's cores; "
            "give several threads to one pool only"
        )
    if several:
        counts = dict.fromkeys(named, 1) | counts
    for name, n in counts.items():
        _SETTERS[name](n)


@contextmanager
def blas_threads(count: int) -> Iterator[None]:
    """BLAS on ``count`` threads inside the block; with several, the kernels on one each."""
    from threadpoolctl import threadpool_limits

    global _blas
    outside, before = thread_counts(), _blas
    with threadpool_limits(limits=_count(count), user_api="blas"):
        try:
            _blas = count
            if count > 1:
                _set_native(1)
                _set_numba(1)
                _set_parts(1)
            yield
        finally:
            _blas = before
            _set_native(outside.get("native", 1))
            _set_numba(outside["numba"])
            _set_parts(outside["parts"])


@contextmanager
def training_threads(count: int, data: int, k: int, chain: bool, divisible: bool) -> Iterator[None]:
    """``count`` threads inside the block, for steps of so many data, k rows each.

    chain: the step is a long chain of small products.  divisible: parts of the data may go
    through the step by themselves.  The compiled kernels, where they are the backend, share the
    rows of a network, products too; a chain would wait for the others at each of its products, so
    its data go in parts, as do those of many rows where nothing is compiled.
    """
    compiled = not chain and named() in (None, "native") and _native_pool() is not None
    many = chain or data * k > FEW_ROWS
    by_parts = divisible and many and not compiled and data >= 2 * count
    with blas_threads(1 if compiled or by_parts else count):  # which restores the others too
        _set_parts(_count(count) if by_parts else 1)
        _set_native(_count(count) if compiled else 1)
        _set_numba(1)
        yield


@contextmanager
def evaluation_threads(chain: bool) -> Iterator[None]:
    """The threads that BLAS has go to the compiled kernels inside the block, where they run.

    chain: as for ``training_threads``; it leaves everything as it is.
    """
    from threadpoolctl import threadpool_info

    if chain or named() not in (None, "native") or _native_pool() is None:
        yield
        return
    pools = (pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
    count = max(pools, default=1)
    with blas_threads(1):  # which restores the others too
        _set_native(count)
        yield


def parts() -> int:
    """Parts of a batch that run side by side."""
    return _parts


def blas_has_one_thread() -> bool:
    """Whether that was set here; what the environment gave it is not known."""
    return _blas == 1


def numba_threads() -> int:
    """Threads of the Numba kernels."""
    return _numba


def thread_counts() -> dict[str, int]:
    """Threads by pool, as they are now: {"openblas": 2, "native": 1, "numba": 1, "parts": 1}."""
    from threadpoolctl import threadpool_info

    counts = {str(pool["internal_api"]): int(pool["num_threads"]) for pool in threadpool_info()}
    native = _native_pool()
    return counts | ({"native": native.get()} if native else {}) | {
        "numba": _numba, "parts": _parts,
    }  # fmt: skip


def _set_blas(n: int) -> None:
    from threadpoolctl import threadpool_limits

    global _blas
    threadpool_limits(limits=n, user_api="blas")
    _blas = n


def _set_native(n: int) -> None:
    native = _native_pool()
    if native:
        native.set(n)


def _set_numba(n: int) -> None:
    global _numba
    _numba = n


def _set_parts(n: int) -> None:
    global _parts
    _parts = n


_SETTERS = {
    "blas": _set_blas, "native": _set_native, "numba": _set_numba, "parts": _set_parts,
}  # fmt: skip


def _native_pool() -> Any:
    if not status("native").available:
        return None
    return import_module("backhand._native").threads


def _count(n: int) -> int:
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"the number of threads must be an int, got {n!r}")
    if n < 1:
        raise ValueError(f"the number of threads must be at least 1, got {n}")
    if n > MOST:
        raise ValueError(f"the number of threads must be at most {MOST}, got {n}")
    return n
