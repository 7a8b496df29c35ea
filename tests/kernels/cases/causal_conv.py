"""Causal convolution: filters of one to four taps, short and long beside the sequence."""

import numpy as np

from backhand.kernels import causal_conv
from tests.kernels.harness import Case

EQUATIONS = [
    "causal_conv.1",
    "causal_conv.2",
    "causal_conv.3",
    "causal_conv.4",
    "causal_conv.5",
    "causal_conv.6",
]


def inputs(taps, lift=0.0):
    """lift > 0: positive outputs, or relu might have no gradient to check."""

    def make(rng, B, T, I, O):  # noqa: E741
        W = rng.standard_normal((taps, I, O)) / np.sqrt(taps * max(I, 1))
        return [rng.standard_normal((B, T, I)), W, lift + rng.standard_normal(O)]

    return make


def case(taps, dilation, activation, label, lift=0.0, unshared=()):
    return Case(
        causal_conv, "BTIO", inputs(taps, lift), (dilation, activation), label,
        sizes={"B": 2, "T": 7, "I": 3, "O": 4}, most={"B": 3}, unshared=unshared,
    )  # fmt: skip


CASES = [
    case(3, 2, "tanh", ", 3 taps"),
    case(1, 1, "identity", ", 1 tap", unshared=[("numba", "backward")]),
    case(2, 5, "softplus", ", 2 taps far apart"),
    case(4, 3, "relu", ", 4 taps", lift=6.0),
]
