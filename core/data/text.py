"""Text to token numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from backhand._types import Array
from backhand.data.files import DataError

UNKNOWN = "<unk>"
_MAX_TOKENS = 1 << 30  # of all lines together, after padding: 4 GiB


def vocabulary(lines: Sequence[str]) -> list[str]:
    """``<unk>``, then all tokens by falling count, ties by name."""
    counts = Counter(token for line in lines for token in line.split())
    counts.pop(UNKNOWN, None)
    return [UNKNOWN, *sorted(counts, key=lambda token: (-counts[token], token))]


def longest(lines: Sequence[str]) -> int:
    """The number of tokens of the longest line."""
    return max((len(line.split()) for line in lines), default=0)


def tokens(lines: Sequence[str], vocab: Sequence[str], length: int) -> tuple[Array, Array]:
    """Token numbers (N, length) int32 and mask (N, length) bool, False where padded (with 0).

    A token outside the vocabulary becomes 0, ``<unk>``.
    """
    if len(lines) * length > _MAX_TOKENS:
        raise DataError(
            f"{len(lines)} lines padded to the longest, {length} tokens, are too large; "
            "cut long lines first"
        )
    number = {token: i for i, token in enumerate(vocab)}
    x = np.zeros((len(lines), length), np.int32)
    sizes = np.empty(len(lines), np.int64)
    for row, line in enumerate(lines):
        numbers = [number.get(token, 0) for token in line.split()]
        x[row, : len(numbers)] = numbers
        sizes[row] = len(numbers)
    return x, np.arange(length) < sizes[:, None]
