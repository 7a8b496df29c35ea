from scipy.special import softmax

from backhand.kernels import importance_weights
from tests.kernels.harness import Case

EQUATIONS = [
    "importance_weights.1",
    "importance_weights.2",
    "importance_weights.3",
    "importance_weights.5",
    "importance_weights.6",
]


def inputs(rng, K, B):
    return [-90 + 2 * rng.standard_normal((K, B))]


def seeded_by_squares(inputs):
    """DReG is the derivative of sum_k w_k^2 log w_k with the weights held constant."""
    held = softmax(inputs[0], axis=0) ** 2
    return lambda log_w: [(held * log_w).sum(axis=0)]


SIZES = {"K": 7, "B": 5}
CASES = [
    Case(importance_weights, "KB", inputs, ("iwae",), sizes=SIZES, least={"K": 1}),
    Case(importance_weights, "KB", inputs, ("stl",), ", stl", sizes=SIZES, least={"K": 1}),
    Case(
        importance_weights, "KB", inputs, ("dreg",), ", dreg", sizes=SIZES, least={"K": 1},
        surrogate=seeded_by_squares,
    ),
]  # fmt: skip
