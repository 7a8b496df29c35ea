"""What a backward reads again, and what a caller gives to be written into."""

from __future__ import annotations

import numpy as np

from backhand._types import Array


def kept(y: Array) -> Array:
    """An output as the caller gets it, while the backward reads the same memory: read-only.

    Arrays on a device have no such mark.
    """
    if isinstance(y, np.ndarray):
        y = y.view()
        y.flags.writeable = False
    return y


def check_written(op: str, **arrays: Array) -> None:
    """ValueError for an array that cannot take a result: a copy of it would, and be lost."""
    for name, x in arrays.items():
        if not (x.flags.c_contiguous and getattr(x.flags, "writeable", True)):
            raise ValueError(
                f"{op}: {name} must be contiguous and writeable, as it is written into"
            )
