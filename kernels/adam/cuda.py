"""Adam in CUDA (csrc/adam/kernel.cu)."""

from __future__ import annotations

from math import sqrt

from backhand._types import Array
from backhand.kernels.cuda_tools import blocks, launch
from backhand.numerics import xp_of

THREADS = 256


def update(
    theta: Array,
    grad: Array,
    m: Array,
    v: Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    weight_decay: float,
    scale: float,
) -> None:
    n = theta.size
    rate = lr / (1 - beta1**step)  # [adam.4]
    root = 1 / sqrt(1 - beta2**step)  # [adam.5]
    betas = (beta1, 1 - beta1, beta2, 1 - beta2)
    arrays = (theta, xp_of(grad).ascontiguousarray(grad), m, v)
    arguments = (*arrays, n, scale, *betas, rate, root, eps, lr * weight_decay)
    launch("adam", "adam_update_all", blocks(n, THREADS), THREADS, arguments)
