"""Writing through Gaussian filters in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.attention_write.reference import Saved
from backhand.kernels.filterbank import numba_cpu as filters
from backhand.kernels.filterbank.numba_cpu import (
    add_dots,
    add_product,
    backward_head,
    bank_of,
    build,
    heads_of,
    log_of,
    product,
)
from backhand.kernels.numba_tools import jit, over_rows

SECONDS = 1e-10  # for one product and sum


def forward(
    head: Array, w: Array, height: int, width: int, eps: float = 1e-8
) -> tuple[Array, Saved]:
    heads, patch = heads_of(head), _channels(w)
    c = np.empty((*patch.shape[:2], height, width), head.dtype)
    over_rows(_forward, len(heads), _seconds(c, w, 1), c, heads, patch, log_of(eps, head))
    return c.reshape(*w.shape[:-2], height, width), Saved(head, w, height, width, eps)


def backward(dc: Array, saved: Saved) -> tuple[Array, Array]:
    head, w, _, _, eps = saved
    heads, patch, d = heads_of(head), _channels(w), _channels(dc)
    d_head, dw = np.empty_like(heads), np.empty_like(patch)
    over_rows(
        _backward, len(heads), _seconds(dc, w, 2), d_head, dw, d, heads, patch, log_of(eps, head)
    )  # fmt: skip
    return d_head.reshape(head.shape), dw.reshape(w.shape)


def _channels(x: Array) -> Array:
    """(B, C, rows, columns), contiguous"""
    return np.ascontiguousarray(x).reshape(int(np.prod(x.shape[:-3])), *x.shape[-3:])


def _seconds(image: Array, w: Array, passes: int) -> float:
    (height, width), (C, N) = image.shape[-2:], w.shape[-3:-1]
    weights = filters.SECONDS * (height + width)
    return float(N * (weights + SECONDS * passes * C * height * width))


@jit
def _forward(begin: int, end: int, c: Any, head: Any, w: Any, log_eps: Any) -> None:
    N = w.shape[2]
    height, width = c.shape[2:]
    F_Y, F_X, mu = bank_of(N, height, width, head)
    image, U = np.empty((height, F_X.shape[1]), head.dtype), np.empty_like(F_X)
    for b in range(begin, end):
        gamma = build(F_Y, F_X, mu, height, width, head[b], log_eps)[2]
        for n in range(w.shape[1]):
            product(U, w[b, n] / gamma, F_X)
            product(image, F_Y.T, U)
            c[b, n] = image[:, :width]


@jit
def _backward(
    begin: int, end: int, d_head: Any, dw: Any, dc: Any, head: Any, w: Any, log_eps: Any
) -> None:
    N = w.shape[2]
    height, width = dc.shape[2:]
    F_Y, F_X, mu = bank_of(N, height, width, head)
    dF_Y, dF_X = np.zeros_like(F_Y), np.empty_like(F_X)
    image, U, dU = (
        np.zeros((height, F_X.shape[1]), head.dtype),
        np.empty_like(F_X),
        np.empty_like(F_X),
    )
    dP = np.empty((N, N), head.dtype)
    for b in range(begin, end):
        half, delta, gamma = build(F_Y, F_X, mu, height, width, head[b], log_eps)
        dF_Y[:] = 0
        dF_X[:] = 0
        for n in range(w.shape[1]):
            image[:, :width] = dc[b, n]
            P = w[b, n] / gamma
            product(U, P, F_X)
            product(dU, F_Y, image)  # gamma times that of [attention_write.4]
            add_dots(dF_Y, U, image, height)
            add_product(dF_X, P.T, dU)
            dP[:] = 0
            add_dots(dP, dU, F_X, N)
            for j in range(N):
                for i in range(N):
                    dw[b, n, j, i] = dP[j, i] / gamma
        d_head[b, 4] = -backward_head(
            d_head[b], dF_Y, dF_X, F_Y, F_X, mu, height, width, half, delta
        )
