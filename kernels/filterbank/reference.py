"""Gaussian filters over an image: NumPy."""

from __future__ import annotations

import math
from typing import NamedTuple

from backhand._types import Array
from backhand.numerics import maximum, xp_of

NARROWEST = -60.0  # log s2 below which a filter is no narrower: exp(60) fits into float32


class Saved(NamedTuple):
    head: Array  # (..., 5)
    F_Y: Array  # (..., N, H)
    F_X: Array  # (..., N, W)


class Grid(NamedTuple):
    """Where the filters lie, from the image's centre; stride and width are shared by the sides."""

    mu_Y: Array  # (..., N)
    mu_X: Array  # (..., N)
    delta: Array  # (...)
    half: Array  # (...) 1 / (2 s2)


def forward(
    head: Array, N: int, height: int, width: int, eps: float = 1e-8
) -> tuple[Array, Array, Array, Saved]:
    grid = _grid(head, N, height, width)
    log_eps = math.log(eps) if eps > 0 else -math.inf
    F_Y = _filters(grid.mu_Y, grid.half, height, log_eps)  # (..., N, H)
    F_X = _filters(grid.mu_X, grid.half, width, log_eps)  # (..., N, W)
    gamma = xp_of(head).exp(head[..., 4])  # (...) [filterbank.6]
    return F_Y, F_X, gamma, Saved(head, F_Y, F_X)


def backward(dF_Y: Array, dF_X: Array, dgamma: Array, saved: Saved) -> Array:
    head, F_Y, F_X = saved
    xp, number = xp_of(head), head.dtype.type
    N, height, width = F_Y.shape[-2], F_Y.shape[-1], F_X.shape[-1]
    grid = _grid(head, N, height, width)
    dmu_Y, dlog_s2_Y = _backward(dF_Y, F_Y, grid.mu_Y, grid.half)
    dmu_X, dlog_s2_X = _backward(dF_X, F_X, grid.mu_X, grid.half)
    dgx = number((width + 1) / 2) * dmu_X.sum(axis=-1)  # [filterbank.10]
    dgy = number((height + 1) / 2) * dmu_Y.sum(axis=-1)  # [filterbank.10]
    dlog_d = grid.delta * ((dmu_Y + dmu_X) @ _pixels(head, N))  # [filterbank.11]
    dlog_gamma = dgamma * xp.exp(head[..., 4])  # [filterbank.12]
    return xp.stack([dgx, dgy, dlog_s2_Y + dlog_s2_X, dlog_d, dlog_gamma], axis=-1)  # type: ignore[no-any-return]


def _pixels(mu: Array, size: int) -> Array:
    """Pixels, as filters, are counted from the centre: small numbers keep their digits."""
    return xp_of(mu).arange(size, dtype=mu.real.dtype) - mu.real.dtype.type((size - 1) / 2)  # type: ignore[no-any-return]


def _grid(head: Array, N: int, height: int, width: int) -> Grid:
    xp, number = xp_of(head), head.dtype.type
    gx, gy, log_s2, log_d = (head[..., i] for i in range(4))
    g_X = number((width + 1) / 2) * gx  # [filterbank.1]
    g_Y = number((height + 1) / 2) * gy  # [filterbank.1]
    delta = number((max(height, width) - 1) / (N - 1)) * xp.exp(log_d)  # [filterbank.2]
    steps = delta[..., None] * _pixels(head, N)  # (..., N)
    half = number(0.5) * xp.exp(-maximum(log_s2, NARROWEST))
    return Grid(g_Y[..., None] + steps, g_X[..., None] + steps, delta, half)  # [filterbank.3]


def _filters(mu: Array, half: Array, size: int, log_eps: float) -> Array:
    """(..., N, size): a softmax over the pixels and the outside, largest logit removed."""
    xp, number = xp_of(mu), mu.dtype.type
    a = _pixels(mu, size)
    nearest = xp.clip(xp.rint(mu.real - a[0]), 0, size - 1) + a[0]  # (..., N)
    f = mu - nearest  # (..., N)
    largest = -f * f * half[..., None]  # (..., N) [filterbank.4]
    top = maximum(largest, log_eps)
    k = a - nearest[..., None]  # (..., N, size) whole numbers
    below = k * (k - number(2) * f[..., None]) * half[..., None, None]  # l_in - l_ia
    e = xp.exp((largest - top)[..., None] - below)  # (..., N, size)
    outside = xp.exp(number(log_eps) - top)
    return e / (e.sum(axis=-1) + outside)[..., None]  # type: ignore[no-any-return]  # [filterbank.5]


def _backward(dF: Array, F: Array, mu: Array, half: Array) -> tuple[Array, Array]:
    """(dmu (..., N), dlog_s2 (...)) of one side."""
    E = F * (dF - (dF * F).sum(axis=-1, keepdims=True))  # (..., N, size) [filterbank.7]
    away = _pixels(mu, F.shape[-1]) - mu[..., None]  # (..., N, size)
    dmu = (E * away).sum(axis=-1) * (half + half)[..., None]  # [filterbank.8]
    dlog_s2 = (E * away * away).sum(axis=(-2, -1)) * half  # [filterbank.9]
    return dmu, dlog_s2
