"""Embedding: ids of one and two axes, rows that repeat."""

import numpy as np

from backhand.kernels import embedding
from tests.kernels.harness import Case

EQUATIONS = ["embedding.1", "embedding.2"]


def inputs(rng, B, V, D):
    return [rng.standard_normal((V, D)), rng.integers(0, V, B)]


def pairs(rng, B, V, D):
    return [rng.standard_normal((V, D)), rng.integers(0, V, (B, 2)).astype(np.int32)]


BVD = {"B": 9, "V": 4, "D": 5}
CASES = [
    Case(embedding, "BVD", inputs, sizes=BVD, least={"V": 1}),
    Case(embedding, "BVD", pairs, label=", pairs", sizes=BVD, least={"V": 1}),
]
