"""Noise by counter: every draw is a pure function of what it is for.

Philox 4x32-10 (Salmon et al., SC 2011) with key = (seed, purpose) and counter =
(element / 4, sample, datum, step).  The same draws follow after a resume, in any order of
the data, in chunks, and for any number of processes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from backhand._types import Array, Shape
from backhand.kernels import philox

# Fixed for ever: a number here is part of every recorded result.
PURPOSES = {
    "init": 0,
    "order": 1,
    "binarise": 2,
    "latent": 3,
    "prior": 4,
    "observation": 5,
    "corruption": 6,
    "dropout": 7,
    "check": 8,
    "user": 9,
    "chain": 10,
    "scene": 11,
}


class Noise(NamedTuple):
    """The noise of one step.  Training steps count from 1; step 0 is everything else.

    seed, step: below 2**32.  first: the number of the first sample, where a datum's samples
    are drawn in pieces.
    """

    seed: int
    step: int = 0
    first: int = 0

    def normal(
        self, purpose: str, index: Array, shape: Shape, *,
        k: int | None = None, layer: int = 0, dtype: Any = np.float32,
    ) -> Array:  # fmt: skip
        """Standard normals (B, *shape), or (k, B, *shape) for k samples from ``first`` on."""
        return self._draw(philox.normal, purpose, index, shape, k, layer, dtype)

    def uniform(
        self, purpose: str, index: Array, shape: Shape, *,
        k: int | None = None, layer: int = 0, dtype: Any = np.float32,
    ) -> Array:  # fmt: skip
        """Uniforms in (0, 1), odd multiples of 2**-24, shaped as in ``normal``."""
        return self._draw(philox.uniform, purpose, index, shape, k, layer, dtype)

    def bernoulli(self, purpose: str, index: Array, p: Array, *, layer: int = 0) -> Array:
        """1 with probability p (B, ...), else 0, in p's shape and dtype: where ``uniform`` < p."""
        key = (self.seed, purpose_key(purpose, layer))
        rows = p.reshape(p.shape[0], math.prod(p.shape[1:]))
        return philox.bernoulli(key, index, self.step, rows, first=self.first).reshape(p.shape)

    def _draw(
        self, kernel: Any, purpose: str, index: Array, shape: Shape,
        k: int | None, layer: int, dtype: Any,
    ) -> Array:  # fmt: skip
        n = int(np.prod(shape, dtype=np.int64))
        key = (self.seed, purpose_key(purpose, layer))
        count = 1 if k is None else k
        out: Array = kernel(key, index, self.step, n, count=count, first=self.first, dtype=dtype)
        return out.reshape(((k,) if k is not None else ()) + (len(index), *shape))


def purpose_key(purpose: str, layer: int = 0) -> int:
    """The 32-bit key of a purpose, combined with a layer or time index below 2**16."""
    if not 0 <= layer < 1 << 16:
        raise ValueError(f"layer or time index must be below {1 << 16}, got {layer}")
    if purpose not in PURPOSES:
        raise ValueError(f"unknown purpose {purpose!r} of noise; there are {', '.join(PURPOSES)}")
    return PURPOSES[purpose] << 16 | layer


def order(seed: int, epoch: int, n: int) -> Array:
    """The order in which n data are presented in an epoch: a permutation, (n,) int64."""
    # One random integer per datum as its sort key; ties, if any, keep their order.
    bits = philox.integers((seed, purpose_key("order")), np.arange(n), epoch, 1)
    return np.argsort(bits.reshape(n), kind="stable")
