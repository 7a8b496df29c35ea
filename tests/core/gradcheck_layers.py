"""Layers and inputs that the tests of the checker share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backhand.checking import Receipt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3))
SQUARE = RNG.normal(size=(3, 3))
BIAS = RNG.normal(size=3)


@dataclass
class Affine:
    """A user's own layer; ``plant`` says what is wrong with its backward."""

    W: np.ndarray
    b: np.ndarray
    plant: str = ""

    def __call__(self, x):
        y = np.tanh(x @ self.W + self.b)

        def backward(dy, g):
            plant, rows = self.plant, len(x)
            da = dy * (1 - y * y)
            dW, db, dx = x.T @ da, da.sum(axis=0), da @ self.W.T
            if plant == "twice":
                dW = 2 * dW
            elif plant == "mean":
                dW, db = dW / rows, db / rows
            elif plant == "sign":
                db = -db
            elif plant == "transposed":
                dW = dW.T
            elif plant == "transposed mean":
                dW = dW.T / rows
            elif plant == "millionth":
                dW = dW * (1 + 1e-6)
            elif plant == "row":
                dW[2] *= 1.5
            elif plant == "zero row":
                dW[1] = 0
            elif plant == "entry":
                dW[1, 2] += 0.25
            elif plant == "term":
                dx = dy @ self.W.T
            elif plant == "zero":
                dx = np.zeros_like(x)
            elif plant == "ignores dy":
                dW = x.T @ (1 - y * y)
            g.W.add(dW)
            if plant != "no bias":
                g.b.add(db)
            return dx

        return y, backward


def failing(found: list[Receipt]) -> dict[str, str]:
    """What is not ok, and every reason for it."""
    wrong: dict[str, str] = {}
    for r in found:
        if not r.ok:
            wrong[r.wrt] = f"{wrong[r.wrt]}; {r.reason}" if r.wrt in wrong else r.reason
    return wrong


def softmax(x, wrong=False):
    e = np.exp(x)
    y = e / e.sum(axis=-1, keepdims=True)

    def backward(dy):
        if wrong:  # dy dropped from the inner sum: still zero where dy is one
            return y * (dy - dy.mean(axis=-1, keepdims=True))
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))

    return y, backward
