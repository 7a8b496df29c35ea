"""Random numbers by counter: Philox 4x32-10 (Salmon et al., SC 2011).

key = (seed, purpose), counter = (element // 4, sample, datum, step), 32 bits each; one
counter gives four words, elements 4q .. 4q + 3.  A number is a function of what it is for
and of nothing else, so the same draws follow after a resume, in chunks and in any order.

integers   x, uint32                                                        (count, B, n)
uniform    u = ((x >> 9) + 1/2) / 2**23, exact in float32 and float64, 0 < u < 1
normal     sqrt(-2 log u0) (cos 2 pi u1, sin 2 pi u1), and the same from u2 and u3; in
           float64, then rounded to ``dtype``
bernoulli  1 where u < p, else 0

Arguments of all: ``key`` (seed, purpose); ``index`` (B,) datum numbers of an integer type;
``step``; ``n`` elements for each datum; samples ``first`` .. ``first + count - 1``.
Seed, purpose, step, datum numbers and samples lie in [0, 2**32), else ValueError; datum numbers
on a GPU are not looked at, and count modulo 2**32.
Normals are equal to 2 ulp on all backends, everything else bit for bit.  Noise is data: there
is no backward.
"""

from __future__ import annotations

from operator import index as as_int
from types import ModuleType
from typing import Any

import numpy as np

from backhand._types import Array, DType
from backhand.backend import Op, is_device_array
from backhand.checks import check

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)
WORDS = 1 << 32


def integers(
    key: tuple[int, int], index: Array, step: int, n: int, *,
    count: int = 1, first: int = 0, backend: str | None = None,
) -> Array:  # fmt: skip
    """32 random bits each: (count, B, n) uint32."""
    module, key, step, n, count, first = _prepare(key, index, step, n, count, first, backend)
    return module.integers(key, index, step, n, count, first)  # type: ignore[no-any-return]


def uniform(
    key: tuple[int, int], index: Array, step: int, n: int, *,
    count: int = 1, first: int = 0, dtype: Any = np.float32, backend: str | None = None,
) -> Array:  # fmt: skip
    """Uniform on (0, 1), odd multiples of 2**-24: (count, B, n) of ``dtype``."""
    real = _real(dtype)
    module, key, step, n, count, first = _prepare(key, index, step, n, count, first, backend)
    return module.uniform(key, index, step, n, count, first, real)  # type: ignore[no-any-return]


def normal(
    key: tuple[int, int], index: Array, step: int, n: int, *,
    count: int = 1, first: int = 0, dtype: Any = np.float32, backend: str | None = None,
) -> Array:  # fmt: skip
    """Standard normal: (count, B, n) of ``dtype``."""
    real = _real(dtype)
    module, key, step, n, count, first = _prepare(key, index, step, n, count, first, backend)
    return module.normal(key, index, step, n, count, first, real)  # type: ignore[no-any-return]


def bernoulli(
    key: tuple[int, int], index: Array, step: int, p: Array, *,
    count: int | None = None, first: int = 0, backend: str | None = None,
) -> Array:  # fmt: skip
    """1 with probability p, else 0, in p's dtype: (count, B, n).

    p (B, n), which ``count`` samples share (1 if it is not given), or (count, B, n).  The draw
    is 0 for p <= 0, 1 for p >= 1; NaN gives 0.
    """
    pattern = "count B n" if np.ndim(p) == 3 else "B n"
    sizes = check("philox", index=(index, "int B"), p=(p, pattern))
    _real(p.dtype)
    samples = sizes.get("count", 1 if count is None else count)
    if count not in (None, samples):
        raise ValueError(f"philox: count must be {samples} (from p), got {count}")
    module, key, step, _, count, first = _prepare(key, index, step, 0, samples, first, backend)
    return module.bernoulli(key, index, step, p, count, first)  # type: ignore[no-any-return]


def _prepare(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int,
    backend: str | None,
) -> tuple[ModuleType, tuple[int, int], int, int, int, int]:  # fmt: skip
    check("philox", index=(index, "int B"))
    if len(key) != 2:
        raise ValueError(f"philox: key must be (seed, purpose), got {len(key)} values")
    seed, purpose = _word("seed", key[0]), _word("purpose", key[1])
    step, n, count = _word("step", step), as_int(n), as_int(count)
    if not 0 <= n <= 4 * WORDS:
        raise ValueError(f"philox: n must lie in [0, 2**34], got {n}")
    if count < 0:
        raise ValueError(f"philox: count must not be negative, got {count}")
    first = _word("first", first)
    _word("first + count - 1 (the last sample)", first + max(count, 1) - 1)
    if index.size and not is_device_array(index):  # to look would stop a GPU
        _word("index", index.min())
        _word("index", index.max())
    return OP.pick(backend, index), (seed, purpose), step, n, count, first


def _word(name: str, value: Any) -> int:
    number = as_int(value)
    if not 0 <= number < WORDS:
        raise ValueError(f"philox: {name} must lie in [0, 2**32), got {number}")
    return number


def _real(dtype: Any) -> DType:
    real: DType = np.dtype(dtype)
    if real not in (np.float32, np.float64):
        raise TypeError(f"philox: dtype must be float32 or float64, got {real}")
    return real
