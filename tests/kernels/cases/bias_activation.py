import numpy as np

from backhand.kernels import bias_activation
from backhand.kernels.bias_activation import ACTIVATIONS
from tests.kernels.harness import Case

EQUATIONS = [
    "bias_activation.1",
    "bias_activation.2",
    "bias_activation.3",
    "bias_activation.4",
    "bias_activation.5",
]


def inputs(rng, B, D):
    a, b = rng.standard_normal((B, D)), rng.standard_normal(D)
    a[:1] = np.abs(a[:1]) - b  # a positive row, or relu might have no gradient to check
    return [a, b]


def without_bias(rng, B, D):
    a, _ = inputs(rng, B, D)
    a[:1] = np.abs(a[:1])
    return [a, None]


SIZES = {"B": 4, "D": 5}
CASES = [
    *(Case(bias_activation, "BD", inputs, (f,), f", {f}", sizes=SIZES) for f in ACTIVATIONS),
    Case(bias_activation, "BD", without_bias, ("tanh",), ", no bias", sizes=SIZES),
]
