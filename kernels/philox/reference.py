"""Philox 4x32-10 in NumPy; the equations are in DERIVATION.md."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backhand._types import Array, DType

MULTIPLIER = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = 0x9E3779B9, 0xBB67AE85
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
ROUNDS = 10
# Counters at a time: the six arrays of a round then stay in a 1 MiB cache.
CHUNK = 8192


def integers(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int
) -> Array:
    out = np.empty((count * len(index), n), np.uint32)
    for where, x in _words(key, index, step, n, count, first):
        out[where] = x
    return out.reshape(count, len(index), n)


def uniform(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int, dtype: DType
) -> Array:
    out = np.empty((count * len(index), n), dtype)
    for where, x in _words(key, index, step, n, count, first):
        out[where] = _uniform(x, dtype)
    return out.reshape(count, len(index), n)


def normal(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int, dtype: DType
) -> Array:
    out = np.empty((count * len(index), n), dtype)
    for where, x in _words(key, index, step, n + n % 2, count, first):
        u = _uniform(x, np.dtype(np.float64))
        radius = np.sqrt(-2.0 * np.log(u[:, 0::2]))  # [philox.5]
        angle = 2.0 * np.pi * u[:, 1::2]  # [philox.5]
        target = out[where]
        target[:, 0::2] = radius * np.cos(angle)  # [philox.6]
        odd = target[:, 1::2]
        odd[...] = (radius * np.sin(angle))[:, : odd.shape[1]]  # [philox.7]
    return out.reshape(count, len(index), n)


def bernoulli(
    key: tuple[int, int], index: Array, step: int, p: Array, count: int, first: int
) -> Array:
    u = uniform(key, index, step, p.shape[-1], count, first, p.dtype)
    return (u < p).astype(p.dtype)  # [philox.8]


def philox(counter: tuple[Array, ...], key: tuple[int, int]) -> tuple[Array, ...]:
    """The four words of each counter; words are uint64 below 2**32, shapes broadcast."""
    # Two rounds only mix words that differ by row with words that differ by column, so
    # broadcasting does them on vectors; the other eight are done on the full grid, in place.
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(2):
        p0, p1 = c0 * MULTIPLIER[0], c2 * MULTIPLIER[1]  # [philox.1]
        c0 = (p1 >> HALF) ^ c1 ^ np.uint64(k0)  # [philox.2]
        c2 = (p0 >> HALF) ^ c3 ^ np.uint64(k1)  # [philox.2]
        c1, c3 = p1 & LOW, p0 & LOW  # [philox.2]
        k0, k1 = (k0 + WEYL[0]) % 2**32, (k1 + WEYL[1]) % 2**32  # [philox.3]
    shape = np.broadcast_shapes(c0.shape, c1.shape, c2.shape, c3.shape)
    p0, p1 = np.empty((2, *shape), np.uint64)
    c0, c1, c2, c3 = (np.broadcast_to(c, shape).copy() for c in (c0, c1, c2, c3))
    for _ in range(2, ROUNDS):
        np.multiply(c0, MULTIPLIER[0], out=p0)
        np.multiply(c2, MULTIPLIER[1], out=p1)
        np.right_shift(p1, HALF, out=c0)
        np.right_shift(p0, HALF, out=c2)
        np.bitwise_xor(c1, np.uint64(k0), out=c1)
        np.bitwise_xor(c3, np.uint64(k1), out=c3)
        np.bitwise_xor(c0, c1, out=c0)
        np.bitwise_xor(c2, c3, out=c2)
        np.bitwise_and(p1, LOW, out=c1)
        np.bitwise_and(p0, LOW, out=c3)
        k0, k1 = (k0 + WEYL[0]) % 2**32, (k1 + WEYL[1]) % 2**32
    return c0, c1, c2, c3


def _words(
    key: tuple[int, int], index: Array, step: int, n: int, count: int, first: int
) -> Iterator[tuple[tuple[slice, slice], Array]]:
    """Pieces of the (count * B, n) result: where they belong, and their 32-bit words."""
    blocks = -(-n // 4)
    width = max(1, min(blocks, CHUNK))
    height = max(1, CHUNK // width)
    last = np.full((1, 1), step, np.uint64)
    for top in range(0, count * len(index), height):
        row = np.arange(top, min(top + height, count * len(index)))[:, None]
        sample = (first + row // len(index)).astype(np.uint64)
        datum = index[row % len(index)].astype(np.uint64)
        for left in range(0, blocks, width):
            block = np.arange(left, min(left + width, blocks), dtype=np.uint64)[None]
            words = philox((block, sample, datum, last), key)
            x = np.empty((len(row), block.size, 4), np.uint32)
            for j in range(4):
                x[:, :, j] = words[j]
            columns = slice(4 * left, min(4 * (left + width), n))
            x = x.reshape(len(row), -1)[:, : columns.stop - columns.start]
            yield (slice(top, top + len(row)), columns), x


def _uniform(x: Array, dtype: DType) -> Array:
    u = (x >> np.uint32(9)).view(np.int32).astype(dtype)  # [philox.4]
    u += dtype.type(0.5)
    u *= dtype.type(2.0**-23)
    return u
