"""A layer with its backward by hand, checked; then the same with a wrong sign.

y = x * exp(-s * x^2) with one trained s per column.  gradcheck compares every hand-written
derivative with an independent one, and names what is wrong.
"""

from dataclasses import dataclass

import numpy as np

import backhand as bh


@dataclass
class Bump:
    """y = x exp(-s x^2).   x: (..., D), s: (D,), y: (..., D)."""

    s: np.ndarray

    def __call__(self, x):
        e = np.exp(-self.s * x * x)
        y = x * e

        def backward(dy, g):
            g.s.add_rows(-dy * x * x * y)
            return dy * e * (1 - 2 * self.s * x * x)

        return y, backward


@dataclass
class Broken(Bump):
    def __call__(self, x):
        e = np.exp(-self.s * x * x)
        y = x * e

        def backward(dy, g):
            g.s.add_rows(dy * x * x * y)  # the sign
            return dy * e * (1 - 2 * self.s * x * x)

        return y, backward


rng = np.random.default_rng(0)
s, x = rng.random(3), rng.standard_normal((5, 3))

for receipt in bh.gradcheck(Bump(s), x):
    print(f"{receipt.name}: {receipt.wrt}: right to {receipt.max_rel_error:.1e}, {receipt.method}")

try:
    bh.gradcheck(Broken(s), x)
except bh.GradientError as error:
    print(error)
