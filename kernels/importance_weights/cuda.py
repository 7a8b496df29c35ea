"""The bound of K importance weights in CUDA (csrc/importance_weights/kernel.cu)."""

from __future__ import annotations

from backhand._types import Array
from backhand.kernels.cuda_tools import TILE_COLS, blocks, launch, partial_sums, tiles
from backhand.kernels.importance_weights.reference import Saved
from backhand.numerics import xp_of

THREADS = 128  # along a row
ROWS = 4096  # blocks along the rows; more are taken in turns


def forward(log_w: Array, estimator: str) -> tuple[Array, Saved]:
    xp = xp_of(log_w)
    logs = xp.ascontiguousarray(log_w)
    K, B = logs.shape
    largest, sums = partial_sums(logs), partial_sums(logs)
    bound, top, total = (xp.empty(B, logs.dtype) for _ in range(3))
    _launch("tiles", tiles(K, B), (TILE_COLS, 8), largest, sums, logs, K, B)
    arguments = (bound, top, total, largest, sums, len(sums), K, B)
    _launch("results", blocks(B, THREADS), THREADS, *arguments)
    return bound, Saved(log_w, top, total, estimator)


def backward(d_bound: Array, saved: Saved) -> Array:
    xp = xp_of(d_bound)
    d, log_w, top, total = (xp.ascontiguousarray(x) for x in (d_bound, *saved[:3]))
    d_log_w: Array = xp.empty_like(log_w)
    K, B = log_w.shape
    grid = blocks(B, THREADS), min(K, ROWS)
    dreg = int(saved.estimator == "dreg")
    _launch("backward", grid, THREADS, d_log_w, d, log_w, top, total, dreg, K, B)
    return d_log_w


def weights(saved: Saved) -> Array:
    ones = xp_of(saved.total).ones_like(saved.total)
    return backward(ones, saved._replace(estimator="iwae"))


def _launch(
    kernel: str, grid: int | tuple[int, int], block: int | tuple[int, int], *arguments: Array | int
) -> None:
    launch("importance_weights", f"importance_weights_{kernel}", grid, block, arguments)
