"""Adam in C++ (csrc/adam/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array

_native: Any = import_module("backhand._native").adam


def unchecked(*arguments: Any) -> bool:
    """``update`` of what nobody has looked at: False, and nothing done, where C++ refuses it."""
    try:
        _native.update(*arguments)
    except (TypeError, ValueError):
        return False
    return True


def update(theta: Array, grad: Array, m: Array, v: Array, *settings: float) -> None:
    written = [np.ascontiguousarray(x) for x in (theta, m, v)]  # the arrays themselves, mostly
    _native.update(written[0], np.ascontiguousarray(grad), *written[1:], *settings)
    for x, made in zip((theta, m, v), written, strict=True):
        if made is not x:
            x[...] = made
