"""Writing through Gaussian filters in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.attention_write.reference import Saved
from backhand.kernels.filterbank.numba_cpu import (
    add_dots,
    add_product,
    backward_head,
    bank_of,
    build,
    copy,
    heads_of,
    images_of,
    log_of,
    product,
    seconds_of,
)
from backhand.kernels.numba_tools import jit, over_rows


def forward(
    head: Array, w: Array, height: int, width: int, eps: float = 1e-8
) -> tuple[Array, Saved]:
    heads, patch = heads_of(head), images_of(w)
    c = np.empty((*patch.shape[:2], height, width), head.dtype)
    seconds = seconds_of(c, w.shape[-3], w.shape[-2], 1)
    over_rows(_forward, len(heads), seconds, c, heads, patch, log_of(eps, head))
    return c.reshape(*w.shape[:-2], height, width), Saved(head, w, height, width, eps)


def backward(dc: Array, saved: Saved) -> tuple[Array, Array]:
    head, w, _, _, eps = saved
    heads, patch, d = heads_of(head), images_of(w), images_of(dc)
    d_head, dw = np.empty_like(heads), np.empty_like(patch)
    seconds = seconds_of(dc, w.shape[-3], w.shape[-2], 2)
    over_rows(_backward, len(heads), seconds, d_head, dw, d, heads, patch, log_of(eps, head))
    return d_head.reshape(head.shape), dw.reshape(w.shape)


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
            copy(c[b, n], image, width)


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
            copy(image, dc[b, n], width)
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
