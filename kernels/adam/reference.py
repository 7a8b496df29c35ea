"""Adam in NumPy.  The vector is walked in blocks, so that the temporaries stay in cache."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np

from backhand._types import Array
from backhand.numerics import xp_of

BLOCK = 32768


def blocks(x: Array, scratch: int) -> Iterator[tuple[slice, list[Array]]]:
    """(slice, scratch arrays of its length and of x's dtype) along x (n,); a GPU takes one."""
    n = x.shape[0]
    size = min(n, BLOCK) if isinstance(x, np.ndarray) else n
    buffers = [xp_of(x).empty(size, x.dtype) for _ in range(scratch)]
    for start in range(0, n, size or 1):
        stop = min(start + size, n)
        yield slice(start, stop), [b[: stop - start] for b in buffers]


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
    xp = xp_of(theta)
    rate = lr / (1 - beta1**step)  # [adam.4]
    root = 1 / sqrt(1 - beta2**step)  # [adam.5]
    for at, (g, t) in blocks(theta, 2):
        p, m_b, v_b = theta[at], m[at], v[at]
        xp.multiply(grad[at], scale, out=g)  # [adam.1]
        m_b *= beta1  # [adam.2]
        xp.multiply(g, 1 - beta1, out=t)  # [adam.2]
        m_b += t  # [adam.2]
        v_b *= beta2  # [adam.3]
        g *= g  # [adam.3]
        g *= 1 - beta2  # [adam.3]
        v_b += g  # [adam.3]
        xp.sqrt(v_b, out=t)  # [adam.6]
        t *= root  # [adam.6]
        t += eps  # [adam.6]
        xp.divide(m_b, t, out=t)  # [adam.6]
        t *= rate  # [adam.6]
        if weight_decay:
            # A factor 1 - lr * weight_decay would round the decay away in float32.
            xp.multiply(p, lr * weight_decay, out=g)  # [adam.7]
            t += g  # [adam.7]
        p -= t  # [adam.7]
