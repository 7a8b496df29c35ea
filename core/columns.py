"""Columns of a table: where their values lie and how far they spread."""

from __future__ import annotations

import numpy as np

from backhand._types import Array


def moments(rows: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each column of rows (N, D): (D,) float64 each.

    The deviation of a constant column is 0, and so is that of one whose values differ by a few
    roundings of their own type alone: there it is rounding error, by which nothing may be divided.
    """
    low, high = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
    width = high - low
    unit = np.where(width > 0, width, 1.0)
    # From the least value, in widths: exact for constant columns, and squares have room.
    y = np.subtract(rows, low, dtype=np.float64) / unit
    std = y.std(axis=0) * width
    eps = np.finfo(rows.dtype).eps if rows.dtype.kind == "f" else 0.0
    rounding = 4 * eps * np.maximum(abs(low), abs(high))
    return low + y.mean(axis=0) * width, np.where(std > rounding, std, 0.0)
