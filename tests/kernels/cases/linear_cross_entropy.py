import numpy as np

from backhand.kernels import linear_cross_entropy
from tests.kernels.harness import Case

EQUATIONS = [
    "linear_cross_entropy.1",
    "linear_cross_entropy.2",
    "linear_cross_entropy.3",
    "linear_cross_entropy.4",
    "linear_cross_entropy.5",
    "linear_cross_entropy.6",
    "linear_cross_entropy.7",
]


def inputs(rng, B, T, H, V):
    h, W = rng.standard_normal((B, T, H)), 2 * rng.standard_normal((H, V)) / np.sqrt(max(H, 1))
    return [h, W, rng.standard_normal(V), rng.integers(0, V, (B, T))]


CASES = [
    Case(
        linear_cross_entropy, "BTHV", inputs, sizes={"B": 3, "T": 2, "H": 4, "V": 5},
        least={"V": 2}, threads={"B": 20, "T": 3, "H": 4, "V": 3000},
    ),
]  # fmt: skip
