"""Bernoulli log-likelihood from logits in CUDA (csrc/bernoulli_logits/kernel.cu)."""

from __future__ import annotations

from backhand._types import Array
from backhand.kernels.bernoulli_logits.reference import Saved
from backhand.kernels.cuda_tools import as_rows, blocks, launch
from backhand.numerics import xp_of

THREADS = 128  # along a row; forward, a narrow row has fewer
BLOCKS = 65535  # along y; more rows are taken in turns


def forward(x: Array, logits: Array) -> tuple[Array, Saved]:
    xp = xp_of(logits)
    pixels, rows = as_rows(x), as_rows(logits)  # (R, D), (K*R, D)
    logp = xp.empty(len(rows), logits.dtype)
    arguments = (logp, pixels, rows, len(rows), *pixels.shape)
    threads = min(max(blocks(pixels.shape[1], 128), 1) * 32, THREADS)
    launch("bernoulli_logits", "bernoulli_logits_forward", len(rows), threads, arguments)
    return logp.reshape(logits.shape[:-1]), Saved(x, logits)


def backward(d_logp: Array, saved: Saved, need_x: bool) -> tuple[Array | None, Array]:
    xp = xp_of(d_logp)
    pixels, logits = as_rows(saved.x), as_rows(saved.logits)
    d_logits = xp.empty_like(logits)
    dx = xp.empty_like(pixels) if need_x else None
    samples = len(logits) // max(len(pixels), 1)
    grid = blocks(pixels.shape[1], THREADS), min(len(pixels), BLOCKS)
    d = xp.ascontiguousarray(d_logp)
    arguments = (dx, d_logits, d, pixels, logits, samples, *pixels.shape)
    launch("bernoulli_logits", "bernoulli_logits_backward", grid, THREADS, arguments)
    return None if dx is None else dx.reshape(saved.x.shape), d_logits.reshape(saved.logits.shape)
