"""Reading through Gaussian filters in Numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.attention_read.reference import Saved
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
    head: Array, x: Array, x_hat: Array | None, N: int, eps: float = 1e-8
) -> tuple[Array, Saved]:
    heads, first, second = heads_of(head), _images(x, x), _images(x_hat, x)
    C, D = first.shape[1], second.shape[1]
    r = np.empty((len(heads), C + D, N, N), head.dtype)
    seconds = seconds_of(x, C + D, N, 1)
    over_rows(_forward, len(heads), seconds, r, heads, first, second, log_of(eps, head))
    return r.reshape(*head.shape[:-1], C + D, N, N), Saved(head, x, x_hat, N, eps)


def backward(
    dr: Array, saved: Saved, need_x: bool = True, need_x_hat: bool = True
) -> tuple[Array, Array | None, Array | None]:
    head, x, x_hat, N, eps = saved
    heads, first, second = heads_of(head), _images(x, x), _images(x_hat, x)
    channels = first.shape[1] + second.shape[1]
    need_x_hat = need_x_hat and x_hat is not None
    d_head = np.empty_like(heads)
    dx = np.empty_like(first if need_x else first[:0])
    dx_hat = np.empty_like(second if need_x_hat else second[:0])
    d = np.ascontiguousarray(dr).reshape(len(heads), channels, N, N)
    over_rows(
        _backward, len(heads), seconds_of(x, channels, N, 3), d_head, dx, dx_hat, d, heads, first,
        second, need_x, need_x_hat, log_of(eps, head),
    )  # fmt: skip
    return (
        d_head.reshape(head.shape),
        dx.reshape(x.shape) if need_x else None,
        dx_hat.reshape(x_hat.shape) if need_x_hat and x_hat is not None else None,
    )


def _images(x: Array | None, like: Array) -> Array:
    """(B, C, H, W), contiguous; without channels where there is no image"""
    if x is not None:
        return images_of(x)
    return np.empty((math.prod(like.shape[:-3]), 0, *like.shape[-2:]), like.dtype)


@jit
def _forward(
    begin: int, end: int, r: Any, head: Any, x: Any, x_hat: Any, log_eps: Any
) -> None:  # fmt: skip
    C, N = x.shape[1], r.shape[2]
    height, width = x.shape[2:]
    F_Y, F_X, mu = bank_of(N, height, width, head)
    image, T = np.zeros((height, F_X.shape[1]), head.dtype), np.empty_like(F_X)
    P = np.empty((N, N), head.dtype)
    for b in range(begin, end):
        gamma = build(F_Y, F_X, mu, height, width, head[b], log_eps)[2]
        for c in range(r.shape[1]):
            copy(image, x[b, c] if c < C else x_hat[b, c - C], width)
            product(T, F_Y, image)
            P[:] = 0
            add_dots(P, T, F_X, N)
            for j in range(N):
                for i in range(N):
                    r[b, c, j, i] = gamma * P[j, i]


@jit
def _backward(
    begin: int, end: int, d_head: Any, dx: Any, dx_hat: Any, dr: Any, head: Any, x: Any,
    x_hat: Any, need_x: bool, need_x_hat: bool, log_eps: Any,
) -> None:  # fmt: skip
    C, N = x.shape[1], dr.shape[2]
    height, width = x.shape[2:]
    F_Y, F_X, mu = bank_of(N, height, width, head)
    dF_Y, dF_X = np.zeros_like(F_Y), np.empty_like(F_X)
    image, T, D = (
        np.zeros((height, F_X.shape[1]), head.dtype),
        np.empty_like(F_X),
        np.empty_like(F_X),
    )
    dP = np.empty((N, N), head.dtype)
    for b in range(begin, end):
        half, delta, gamma = build(F_Y, F_X, mu, height, width, head[b], log_eps)
        dF_Y[:] = 0
        dF_X[:] = 0
        for c in range(dr.shape[1]):
            copy(image, x[b, c] if c < C else x_hat[b, c - C], width)
            for j in range(N):
                for i in range(N):
                    dP[j, i] = gamma * dr[b, c, j, i]
            product(D, dP, F_X)
            product(T, F_Y, image)
            add_dots(dF_Y, D, image, height)
            add_product(dF_X, dP.T, T)
            if c < C:
                if need_x:
                    product(image, F_Y.T, D)
                    copy(dx[b, c], image, width)
            elif need_x_hat:
                product(image, F_Y.T, D)
                copy(dx_hat[b, c - C], image, width)
        d_head[b, 4] = backward_head(
            d_head[b], dF_Y, dF_X, F_Y, F_X, mu, height, width, half, delta
        )
