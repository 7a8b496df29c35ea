"""Layers in C++ (bindings/dense.cpp) where our products are faster than those of BLAS."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.bias_activation import native as elementwise
from backhand.kernels.bias_activation.native import NUMBER
from backhand.kernels.dense.composed import composed
from backhand.kernels.dense.reference import Saved
from backhand.kernels.matrix_product.native import ours

_native: Any = import_module("backhand._native").dense
_forward, _backward = composed(elementwise)


def forward(
    x: Array, Ws: Sequence[Array], bs: Sequence[Array], activations: Sequence[str]
) -> tuple[Array, Saved]:
    if not ours(x):
        return _forward(x, Ws, bs, activations)  # type: ignore[no-any-return]
    x, Ws, bs = np.ascontiguousarray(x), contiguous(Ws), contiguous(bs)
    ys = _native.forward(x, Ws, bs, [NUMBER[f] for f in activations])
    return ys[-1], Saved(x, Ws, ys, activations)


def backward(
    dy: Array, saved: Saved, dWs: Sequence[Array] | None = None,
    dbs: Sequence[Array] | None = None, need_x: bool = True,
) -> tuple[Array | None, Sequence[Array], Sequence[Array]]:  # fmt: skip
    x, Ws, ys, activations = saved
    if not ours(x):
        return _backward(dy, saved, dWs, dbs, need_x)  # type: ignore[no-any-return]
    dWs = [np.empty(W.shape, W.dtype) for W in Ws] if dWs is None else dWs
    dbs = [np.empty(W.shape[1], W.dtype) for W in Ws] if dbs is None else dbs
    numbers = [NUMBER[f] for f in activations]
    x, dy, Ws, ys = *contiguous((x, dy)), contiguous(Ws), contiguous(ys)
    return _native.backward(dy, x, Ws, ys, numbers, dWs, dbs, need_x), dWs, dbs


def contiguous(arrays: Sequence[Array]) -> list[Array]:
    return [np.ascontiguousarray(a) for a in arrays]


def unchecked(
    x: Array, Ws: Sequence[Array], bs: Sequence[Array], activations: Sequence[str]
) -> tuple[Array, Saved] | None:
    """``forward`` of what nobody has looked at: None where C++ finds it unusual or wrong."""
    try:
        if ours(x):
            ys = _native.forward(x, Ws, bs, [NUMBER[f] for f in activations])
            return ys[-1], Saved(x, Ws, ys, activations)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        pass
    return None


def unchecked_backward(
    dy: Array, saved: Saved, dWs: Sequence[Array] | None, dbs: Sequence[Array] | None, need_x: bool
) -> tuple[Array | None, Sequence[Array], Sequence[Array]] | None:
    x, Ws, ys, activations = saved
    try:
        if dWs is not None and dbs is not None and ours(x):
            numbers = [NUMBER[f] for f in activations]
            return _native.backward(dy, x, Ws, ys, numbers, dWs, dbs, need_x), dWs, dbs
    except (AttributeError, IndexError, TypeError, ValueError):
        pass
    return None
