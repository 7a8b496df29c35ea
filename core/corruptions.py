"""Corruptions of data, x~ ~ p(x~ | x), for the denoising criterion.

kind                     x~                                                        level
salt_and_pepper          with probability p a fair coin, else x                    p
salt_and_pepper_authors  with probability p: 1 with probability p, else 0; else x  p
zero_mask                with probability p 0, else x                              p
gaussian                 x + level eps, level in the data's units                  any

The second is what the code of Im et al. (AAAI 2017) does: of the pixels that it replaces nearly
all become 0.
"""

from __future__ import annotations

from collections.abc import Callable

from backhand._types import Array
from backhand.noise import Noise
from backhand.numerics import xp_of


def corrupt(kind: str, level: float, x: Array, index: Array, noise: Noise, k: int) -> Array:
    """k corruptions of each datum, (k, B, ...), of x (B, ...)."""
    if kind == "gaussian":
        eps = noise.normal("corruption", index, x.shape[1:], k=k, dtype=x.dtype)
        return x + x.dtype.type(level) * eps  # type: ignore[no-any-return]
    u = noise.uniform("corruption", index, x.shape[1:], k=k, dtype=x.dtype)
    zero, one = ZEROS_AND_ONES[kind](level)
    xp = xp_of(x)
    return xp.where(u < zero, x.dtype.type(0), xp.where(u < zero + one, x.dtype.type(1), x))  # type: ignore[no-any-return]


# The probabilities with which a value becomes 0 and 1.
ZEROS_AND_ONES: dict[str, Callable[[float], tuple[float, float]]] = {
    "salt_and_pepper": lambda p: (p / 2, p / 2),
    "salt_and_pepper_authors": lambda p: (p * (1 - p), p * p),
    "zero_mask": lambda p: (p, 0.0),
}
