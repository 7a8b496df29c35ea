"""Embedding in C++ (csrc/embedding/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.embedding.reference import Saved

_native: Any = import_module("backhand._native").embedding


def forward(W: Array, ids: Array) -> tuple[Array, Saved]:
    return _native.forward(W, ids.astype(np.int64, copy=False)), Saved(W, ids)


def backward(dy: Array, saved: Saved) -> Array:
    dW = np.zeros(saved.W.shape, dy.dtype)
    add_at(dW, saved.ids, dy)
    return dW


def add_at(W: Array, ids: Array, dy: Array) -> None:
    _native.add_at(W, ids.astype(np.int64, copy=False), dy)
