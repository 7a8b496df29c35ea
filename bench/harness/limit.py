"""The least time that a case can take on this machine, measured in the same run.

Every matrix product alone at its very shape (NumPy's BLAS), the least traffic at the bandwidth
of arrays of that total size, the transcendentals at the rate of our vectorised exp; nothing
overlapped.  A practical limit and no proof: BLAS can be beaten at small products.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from backhand.backend import status
from backhand.bench.harness.case import Case

SECONDS = 0.03  # for each quantity in each round
SMALLEST, LARGEST = 384 << 10, 192 << 20  # bytes of the arrays that the bandwidth is measured on

Measure = Callable[[], dict[str, float]]


def make_limit(case: Case, threads: int) -> Measure:
    """A function that measures the parts of the limit in seconds."""
    products = [(_product(shape), n) for shape, n in Counter(case.products).items()]
    bandwidth = _bandwidth(case.footprint or case.traffic, threads) if case.traffic else None
    exp = _exp()

    def measure() -> dict[str, float]:
        return {
            "products": sum(n * _best_seconds(product) for product, n in products),
            "memory": case.traffic / bandwidth() if bandwidth else 0.0,
            "transcendentals": case.transcendentals / (exp() * threads),
        }

    return measure


def _best_seconds(f: Callable[[], Any], least: int = 3) -> float:
    """The shortest time of repeated calls."""
    f()
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


def _product(shape: tuple[int, int, int]) -> Callable[[], Any]:
    m, k, n = shape
    rng = np.random.default_rng(0)
    a = rng.standard_normal((m, k), dtype=np.float32)
    b = rng.standard_normal((k, n), dtype=np.float32)
    out = np.empty((m, n), np.float32)
    return lambda: np.matmul(a, b, out=out)


def _bandwidth(footprint: float, threads: int) -> Callable[[], float]:
    """Bytes per second of a = a + b, over arrays of about ``footprint`` bytes together.

    Each thread goes over a part of its own, again and again.  In place, so that no line of the
    cache is fetched only to be overwritten.
    """
    size = int(min(max(footprint, SMALLEST), LARGEST)) // (2 * 4 * threads)
    parts = [[np.zeros(size, np.float32) + n for n in (1, 0)] for _ in range(threads)]
    pool = ThreadPoolExecutor(threads)

    def rate(part: list[Any]) -> float:
        a, b = part
        return 12 * size / _best_seconds(lambda: np.add(a, b, out=a))

    return lambda: sum(pool.map(rate, parts))


def _exp() -> Callable[[], float]:
    """exp per second of one thread, on an array that stays in the cache."""
    x = np.linspace(-10, 10, 16384, dtype=np.float32)
    if status("native").available:
        from backhand import _native

        exp = _native.vec_math.exp
    else:
        exp = np.exp
    return lambda: x.size / _best_seconds(lambda: exp(x))
