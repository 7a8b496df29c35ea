"""Philox 4x32-10 in Numba: words for a tile of one row at a time, converted while in cache."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, log, pi, sin, sqrt
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from backhand._types import Array, DType
from backhand.kernels.numba_math import _bits, _float
from backhand.kernels.numba_tools import as_rows, over_rows

TILE = 256  # counters, four words each
WORD, NORMAL, DOUBLE_NORMAL = 1.5e-9, 5e-9, 30e-9  # seconds for one element
U, I = np.uint64, np.int32  # noqa: E741
LOW, HALF = U(0xFFFFFFFF), U(32)
# As reference.py: nothing fused, nothing reordered.
jit = njit(cache=True, nogil=True, error_model="numpy")


def integers(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int
) -> Array:
    return _draw(False, WORD, key, index, step, n, count, first, np.dtype(np.uint32))


def uniform(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int, dtype: DType
) -> Array:
    return _draw(False, WORD, key, index, step, n, count, first, dtype)


def normal(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int, dtype: DType
) -> Array:
    seconds = NORMAL if dtype == np.float32 else DOUBLE_NORMAL
    return _draw(True, seconds, key, index, step, n, count, first, dtype)


def bernoulli(
    key: tuple[int, int], index: Array, step: int, p: Array, count: int, first: int
) -> Array:
    n = p.shape[-1]
    out = uniform(key, index, step, n, count, first, p.dtype)
    over_rows(_compare, count * len(index), WORD * n, as_rows(out), as_rows(p))
    return out


def _draw(
    normals: bool, seconds: float, key: tuple[int, int], index: Array, step: int, n: int,
    count: int, first: int, dtype: DType,
) -> Array:  # fmt: skip
    out = np.empty((count * len(index), n), dtype)
    datum = np.ascontiguousarray(index, dtype=np.uint32)
    over_rows(_fill, len(out), seconds * n, out, datum, *key, step, first, normals)
    return out.reshape(count, len(index), n)


@jit
def _fill(
    begin: int, end: int, out: Any, index: Any, seed: int, purpose: int, step: int, first: int,
    normals: bool,
) -> None:  # fmt: skip
    # Word by word, since LLVM does not vectorise loops that write four of them side by side.
    words, numbers = np.empty((4, TILE), np.uint32), np.empty((4, TILE), out.dtype)
    tile = np.empty((TILE, 4), out.dtype)
    flat = tile.reshape(4 * TILE)
    n = out.shape[1]
    for r in range(begin, end):
        sample, datum = U(first + r // len(index)), U(index[r % len(index)])
        for start in range(0, n, 4 * TILE):
            row = out[r, start : start + 4 * TILE]
            counters = (len(row) + 31) // 32 * 8  # whole vectors; the rest is dropped
            w = words[0][:counters], words[1][:counters], words[2][:counters], words[3][:counters]
            x0, x1 = numbers[0][:counters], numbers[1][:counters]
            x2, x3 = numbers[2][:counters], numbers[3][:counters]
            _words(w, U(start // 4), sample, datum, U(step), U(seed), U(purpose))
            _convert(x0, x1, w[0], w[1], normals)
            _convert(x2, x3, w[2], w[3], normals)
            for i in range(len(x0)):
                tile[i, 0], tile[i, 1], tile[i, 2], tile[i, 3] = x0[i], x1[i], x2[i], x3[i]
            row[:] = flat[: len(row)]


@jit
def _words(
    words: Any, block: Any, sample: Any, datum: Any, step: Any, seed: Any, purpose: Any
) -> None:
    w0, w1, w2, w3 = words
    for i in range(len(w0)):
        c0, c1, c2, c3 = block + U(i), sample, datum, step
        k0, k1 = seed, purpose
        for _ in range(10):
            p0, p1 = U(0xD2511F53) * c0, U(0xCD9E8D57) * c2  # [philox.1]
            c0, c1 = (p1 >> HALF) ^ c1 ^ k0, p1 & LOW  # [philox.2]
            c2, c3 = (p0 >> HALF) ^ c3 ^ k1, p0 & LOW  # [philox.2]
            k0, k1 = (k0 + U(0x9E3779B9)) & LOW, (k1 + U(0xBB67AE85)) & LOW  # [philox.3]
        w0[i], w1[i], w2[i], w3[i] = c0, c1, c2, c3


def _convert(x0: Any, x1: Any, w0: Any, w1: Any, normals: bool) -> None:
    """Pairs of words as numbers of x's type."""
    raise NotImplementedError("only for jitted code")


@overload(_convert, jit_options={"error_model": "numpy"})
def _convert_by_type(x0, x1, w0, w1, normals):  # type: ignore[no-untyped-def]  # Numba compares them
    if x0.dtype == types.uint32:
        return lambda x0, x1, w0, w1, normals: _copy(x0, x1, w0, w1)
    pair: Callable[..., Any] = _pair_float if x0.dtype == types.float32 else _pair_double

    def reals(x0, x1, w0, w1, normals):  # type: ignore[no-untyped-def]
        real = x0.dtype.type
        if normals:
            for i in range(len(x0)):
                x0[i], x1[i] = pair(w0[i], w1[i])
        else:
            for i in range(len(x0)):
                x0[i], x1[i] = _uniform(w0[i], real), _uniform(w1[i], real)

    return reals


@jit
def _copy(x0: Any, x1: Any, w0: Any, w1: Any) -> None:
    x0[:] = w0
    x1[:] = w1


@jit
def _uniform(x: Any, real: Any) -> Any:
    return (real(I(x >> np.uint32(9))) + real(0.5)) * real(2.0**-23)  # [philox.4]


@jit
def _pair_double(x0: Any, x1: Any) -> Any:
    radius = sqrt(-2.0 * log(_uniform(x0, np.float64)))  # [philox.5]
    angle = 2.0 * pi * _uniform(x1, np.float64)  # [philox.5]
    return radius * cos(angle), radius * sin(angle)  # [philox.6] [philox.7]


@jit
def _pair_float(x0: Any, x1: Any) -> Any:
    """Right to 1e-9 before rounding, as in philox_math.h."""
    radius = sqrt(-2.0 * _log(x0))  # [philox.5]
    c, s = _circle(x1)  # [philox.5]
    return radius * c, radius * s  # [philox.6] [philox.7]


@jit
def _log(x: Any) -> Any:
    """log u, u = m 2**shift with m in [0.707, 1.414): 2 artanh((m - 1) / (m + 1))."""
    shift = I((_bits(_uniform(x, np.float32)) - I(0x3F3504F3)) >> I(23))
    m = _uniform(x, np.float64) * np.float64(_float(I((I(127) - shift) << I(23))))
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    series = 1 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11)))))
    return np.float64(shift) * 0.69314718055994530942 + 2.0 * s * series


@jit
def _circle(x: Any) -> Any:
    """cos and sin of 2 pi u: 4 u = quadrant + t with |t| <= 1/2, both exact."""
    turns = 4.0 * _uniform(x, np.float64)
    quadrant = I(turns + 0.5)
    a = (turns - np.float64(quadrant)) * (pi / 2)
    q = a * a
    s = 1 + q * (-1 / 6 + q * (1 / 120 + q * (-1 / 5040 + q * (1 / 362880 + q * (-1 / 39916800)))))
    s *= a
    c = -1 / 720 + q * (1 / 40320 + q * (-1 / 3628800 + q * (1 / 479001600)))
    c = 1 + q * (-0.5 + q * (1 / 24 + q * c))
    odd = (quadrant & I(1)) != 0
    even_cos, even_sin = (s, c) if odd else (c, s)
    cosine = -even_cos if ((quadrant + I(1)) & I(2)) != 0 else even_cos
    return cosine, -even_sin if (quadrant & I(2)) != 0 else even_sin


@jit
def _compare(begin: int, end: int, out: Any, p: Any) -> None:
    zero, one = out.dtype.type(0), out.dtype.type(1)
    for r in range(begin, end):
        row, p_r = out[r], p[r % len(p)]
        for i in range(len(row)):
            row[i] = one if row[i] < p_r[i] else zero  # [philox.8]
