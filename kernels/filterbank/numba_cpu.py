"""Gaussian filters in Numba; ``build`` and ``backward_head`` serve reading and writing too."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.kernels.filterbank.reference import NARROWEST, Saved
from backhand.kernels.numba_math import exp, exp_below
from backhand.kernels.numba_tools import jit, jit_apart, over_rows

SECONDS = 1.5e-9  # for one weight, built or differentiated
PRODUCT = 1e-10  # for one product and sum
LANES = 32  # rows of our own are padded to this: what LLVM takes at a time, and no remainder


def forward(
    head: Array, N: int, height: int, width: int, eps: float = 1e-8
) -> tuple[Array, Array, Array, Saved]:
    heads = heads_of(head)
    F_Y = np.empty((len(heads), N, height), head.dtype)
    F_X = np.empty((len(heads), N, width), head.dtype)
    gamma = np.empty(len(heads), head.dtype)
    seconds = SECONDS * N * (height + width)
    over_rows(_forward, len(heads), seconds, F_Y, F_X, gamma, heads, log_of(eps, head))
    lead = head.shape[:-1]
    F_Y, F_X = F_Y.reshape(*lead, N, height), F_X.reshape(*lead, N, width)
    return F_Y, F_X, gamma.reshape(lead), Saved(head, F_Y, F_X)


def backward(dF_Y: Array, dF_X: Array, dgamma: Array, saved: Saved) -> Array:
    heads = heads_of(saved.head)
    (N, height), width = saved.F_Y.shape[-2:], saved.F_X.shape[-1]
    d_head = np.empty_like(heads)
    arrays = [
        np.ascontiguousarray(x).reshape(len(heads), N, size)
        for x, size in ((dF_Y, height), (dF_X, width), (saved.F_Y, height), (saved.F_X, width))
    ]
    d_gamma = np.ascontiguousarray(dgamma).reshape(len(heads))
    seconds = SECONDS * N * (height + width)
    over_rows(_backward, len(heads), seconds, d_head, *arrays, d_gamma, heads)
    return d_head.reshape(saved.head.shape)


def heads_of(head: Array) -> Array:
    """(B, 5), contiguous"""
    return np.ascontiguousarray(head).reshape(-1, 5)


def images_of(x: Array) -> Array:
    """(B, C, rows, columns), contiguous"""
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:-3]), *x.shape[-3:])


def seconds_of(image: Array, channels: int, N: int, passes: int) -> float:
    """For one datum: the filters, and the products of so many passes over the images."""
    height, width = image.shape[-2:]
    return float(N * (SECONDS * (height + width) + PRODUCT * passes * channels * height * width))


def log_of(eps: float, head: Array) -> Any:
    return head.dtype.type(math.log(eps) if eps > 0 else -math.inf)


@jit
def _forward(begin: int, end: int, F_Y: Any, F_X: Any, gamma: Any, head: Any, log_eps: Any) -> None:
    N, height, width = F_Y.shape[1], F_Y.shape[2], F_X.shape[2]
    wide_Y, wide_X, mu = bank_of(N, height, width, head)
    for b in range(begin, end):
        gamma[b] = build(wide_Y, wide_X, mu, height, width, head[b], log_eps)[2]
        copy(F_Y[b], wide_Y, height)
        copy(F_X[b], wide_X, width)


@jit
def _backward(
    begin: int, end: int, d_head: Any, dF_Y: Any, dF_X: Any, F_Y: Any, F_X: Any, dgamma: Any,
    head: Any,
) -> None:  # fmt: skip
    mu = np.empty((2, F_Y.shape[1]), head.dtype)
    for b in range(begin, end):
        height, width = F_Y.shape[2], F_X.shape[2]
        half, delta, gamma = place(mu, height, width, head[b])
        backward_head(
            d_head[b], dF_Y[b], dF_X[b], F_Y[b], F_X[b], mu, height, width, half, delta
        )  # fmt: skip
        d_head[b, 4] = dgamma[b] * gamma


@jit
def bank_of(N: int, height: int, width: int, like: Any) -> Any:
    """Room for F_Y (N, padded height), F_X (N, padded width), mu (2, N)."""
    return (
        np.zeros((N, padded(height)), like.dtype),
        np.zeros((N, padded(width)), like.dtype),
        np.empty((2, N), like.dtype),
    )


@jit
def padded(size: int) -> int:
    return (size + LANES - 1) // LANES * LANES


@jit
def place(mu: Any, height: int, width: int, head: Any) -> Any:
    """Centres of the filters (2, N), rows of F_Y first; returns 1 / (2 s2), the stride, gamma."""
    number = head.dtype.type
    N = mu.shape[1]
    half = number(0.5) * exp(-max(head[2], number(NARROWEST)))
    delta = number(max(height, width) - 1) / number(N - 1) * exp(head[3])
    for i in range(N):
        step = delta * (number(i) - number(0.5) * number(N - 1))
        mu[0, i] = number(0.5) * number(height + 1) * head[1] + step
        mu[1, i] = number(0.5) * number(width + 1) * head[0] + step
    return half, delta, exp(head[4])


@jit
def build(F_Y: Any, F_X: Any, mu: Any, height: int, width: int, head: Any, log_eps: Any) -> Any:
    """Both banks of one datum, padded with zeros; returns what ``place`` does."""
    half, delta, gamma = place(mu, height, width, head)
    _filters(F_Y, height, mu[0], half, log_eps)
    _filters(F_X, width, mu[1], half, log_eps)
    return half, delta, gamma


@jit
def _filters(F: Any, size: int, mu: Any, half: Any, log_eps: Any) -> None:
    number = F.dtype.type
    N, lanes = F.shape
    zero, two, first = number(0), number(2), number(-0.5) * number(size - 1)
    for i in range(N):
        at = min(max(mu[i] - first, zero), number(size - 1))
        n = number(math.floor(at + number(0.5))) if at == at else zero
        f = mu[i] - (n + first)
        outside = log_eps + f * f * half
        top = -outside if outside > zero else zero
        row, total = F[i], zero
        for a in range(lanes):
            k = number(np.int32(a)) - n  # int64 has no vector form of this conversion
            weight = exp_below(top - k * (k - two * f) * half)
            weight = weight if np.int32(a) < np.int32(size) else zero
            row[a] = weight
            total += weight
        scale = number(1) / (total + exp_below(zero if outside > zero else outside))
        for a in range(lanes):
            row[a] *= scale


@jit
def backward_head(
    d_head: Any, dF_Y: Any, dF_X: Any, F_Y: Any, F_X: Any, mu: Any, height: int, width: int,
    half: Any, delta: Any,
) -> Any:  # fmt: skip
    """The first four gradients; returns sum(dF_Y F_Y).  The rows may be padded."""
    number = d_head.dtype.type
    dmu_Y, stretch_Y, square_Y, seen = _backward_side(dF_Y, F_Y, height, mu[0], half)
    dmu_X, stretch_X, square_X, _ = _backward_side(dF_X, F_X, width, mu[1], half)
    d_head[0] = number(0.5) * number(width + 1) * dmu_X
    d_head[1] = number(0.5) * number(height + 1) * dmu_Y
    d_head[2] = half * (square_X + square_Y)
    d_head[3] = delta * (stretch_X + stretch_Y)
    return seen


@jit
def _backward_side(dF: Any, F: Any, size: int, mu: Any, half: Any) -> Any:
    number = F.dtype.type
    N, lanes = F.shape
    dmu_sum = stretch = square_sum = seen_sum = number(0)
    first = number(-0.5) * number(size - 1)
    for i in range(N):
        seen = moment = square = number(0)
        for a in range(lanes):
            seen += dF[i, a] * F[i, a]
        shift = first - mu[i]
        for a in range(lanes):
            away = number(np.int32(a)) + shift
            E = F[i, a] * (dF[i, a] - seen)
            moment += E * away
            square += E * away * away
        dmu = (half + half) * moment
        dmu_sum += dmu
        stretch += dmu * (number(i) - number(0.5) * number(N - 1))
        square_sum += square
        seen_sum += seen
    return dmu_sum, stretch, square_sum, seen_sum


@jit_apart
def copy(out: Any, x: Any, width: int) -> None:
    """The first columns of each row; in jitted code ``out[:] = x`` is not vectorised."""
    for r in range(len(out)):
        to, of = out[r], x[r]
        for i in range(width):
            to[i] = of[i]


# -- small products.  Four terms at a time, and all rows before the next four: a row of sums is then
# loaded and stored once for four terms, and does not wait for the row before.  The width is a
# multiple of LANES: a loop of known length has neither a remainder nor a test before it (for one
# term it is not vectorised).


@jit_apart
def product(out: Any, A: Any, B: Any) -> None:
    """out (R, W) = A (R, K) B (K, W)"""
    out[:] = 0
    add_product(out, A, B)


@jit_apart
def add_product(out: Any, A: Any, B: Any) -> None:
    """out (R, W) += A (R, K) B (K, W)"""
    R, W = out.shape
    K = B.shape[0]
    k = 0
    while k + 4 <= K:
        for w in range(0, W, LANES):
            x, y = B[k, w : w + LANES], B[k + 1, w : w + LANES]
            u, v = B[k + 2, w : w + LANES], B[k + 3, w : w + LANES]
            for r in range(R):
                row = out[r, w : w + LANES]
                p, q, s, t = A[r, k], A[r, k + 1], A[r, k + 2], A[r, k + 3]
                for i in range(LANES):
                    row[i] += p * x[i] + q * y[i] + (s * u[i] + t * v[i])
        k += 4
    while k < K:
        x = B[k]
        for r in range(R):
            row, p = out[r], A[r, k]
            for i in range(W):
                row[i] += p * x[i]
        k += 1


@jit
def add_dots(out: Any, A: Any, B: Any, S: int) -> None:
    """out (R, :S) += A (R, W) B (S, W)^T"""
    number = A.dtype.type
    R, W = A.shape
    for r in range(R):
        s = 0
        while s + 4 <= S:
            one = two = three = four = number(0)
            for w in range(W):
                a = A[r, w]
                one += a * B[s, w]
                two += a * B[s + 1, w]
                three += a * B[s + 2, w]
                four += a * B[s + 3, w]
            out[r, s] += one
            out[r, s + 1] += two
            out[r, s + 2] += three
            out[r, s + 3] += four
            s += 4
        while s < S:
            one = number(0)
            for w in range(W):
                one += A[r, w] * B[s, w]
            out[r, s] += one
            s += 1
