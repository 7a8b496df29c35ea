"""Layers and their likelihood in C++ (bindings/dense.cpp), where BLAS is not faster."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.bernoulli_logits import native as likelihood
from backhand.kernels.bias_activation.native import NUMBER
from backhand.kernels.dense import native as dense
from backhand.kernels.dense.reference import Saved
from backhand.kernels.dense_bernoulli.composed import composed
from backhand.kernels.matrix_product.native import ours

_native: Any = import_module("backhand._native").dense
_forward, _backward = composed(dense.forward, dense.backward, likelihood)


def forward(
    h: Array, Ws: Sequence[Array], bs: Sequence[Array], activations: Sequence[str], x: Array
) -> tuple[Array, Saved]:
    if not ours(h):
        return _forward(h, Ws, bs, activations, x)  # type: ignore[no-any-return]
    h, x = np.ascontiguousarray(h), np.ascontiguousarray(x)
    Ws, bs = dense.contiguous(Ws), dense.contiguous(bs)
    logp, ys = _native.forward_bernoulli(h, Ws, bs, [NUMBER[f] for f in activations], x)
    return logp, Saved(h, Ws, ys, activations)


def backward(
    d_logp: Array, saved: Saved, dWs: Sequence[Array] | None = None,
    dbs: Sequence[Array] | None = None, need_h: bool = True,
) -> tuple[Array | None, Sequence[Array], Sequence[Array]]:  # fmt: skip
    h, Ws, ys, activations = saved
    if not ours(h):
        return _backward(d_logp, saved, dWs, dbs, need_h)  # type: ignore[no-any-return]
    dWs = [np.empty(W.shape, W.dtype) for W in Ws] if dWs is None else dWs
    dbs = [np.empty(W.shape[1], W.dtype) for W in Ws] if dbs is None else dbs
    numbers = [NUMBER[f] for f in activations]
    h, d, Ws, ys = *dense.contiguous((h, d_logp)), dense.contiguous(Ws), dense.contiguous(ys)
    return _native.backward_bernoulli(d, h, Ws, ys, numbers, dWs, dbs, need_h), dWs, dbs


def unchecked(
    h: Array, Ws: Sequence[Array], bs: Sequence[Array], activations: Sequence[str], x: Array
) -> tuple[Array, Saved] | None:
    """``forward`` of what nobody has looked at: None where C++ finds it unusual or wrong."""
    try:
        if ours(h):
            logp, ys = _native.forward_bernoulli(h, Ws, bs, [NUMBER[f] for f in activations], x)
            return logp, Saved(h, Ws, ys, activations)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        pass
    return None


def unchecked_backward(
    d_logp: Array, saved: Saved, dWs: Sequence[Array] | None, dbs: Sequence[Array] | None,
    need_h: bool,
) -> tuple[Array | None, Sequence[Array], Sequence[Array]] | None:  # fmt: skip
    h, Ws, ys, activations = saved
    try:
        if dWs is not None and dbs is not None and ours(h):
            numbers = [NUMBER[f] for f in activations]
            dh = _native.backward_bernoulli(d_logp, h, Ws, ys, numbers, dWs, dbs, need_h)
            return dh, dWs, dbs
    except (AttributeError, IndexError, TypeError, ValueError):
        pass
    return None
