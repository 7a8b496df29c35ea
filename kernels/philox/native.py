"""Philox 4x32-10 in C++ (csrc/philox/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array, DType

_philox: Any = import_module("backhand._native").philox


def integers(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int
) -> Array:
    return _draw("integers", key, index, step, n, count, first)


def uniform(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int, dtype: DType
) -> Array:
    return _draw(f"uniform_{dtype.name}", key, index, step, n, count, first)


def normal(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int, dtype: DType
) -> Array:
    return _draw(f"normal_{dtype.name}", key, index, step, n, count, first)


def bernoulli(
    key: tuple[int, int], index: Array, step: int, p: Array, count: int, first: int
) -> Array:
    datum = np.ascontiguousarray(index, dtype=np.uint32)
    return _philox.bernoulli(datum, p, *key, step, count, first)  # type: ignore[no-any-return]


def _draw(
    name: str, key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int
) -> Array:
    datum = np.ascontiguousarray(index, dtype=np.uint32)
    out: Array = getattr(_philox, name)(datum, *key, step, n, count, first)
    return out
