"""The LSTM step: plain, with bias and forget bias, with a mask."""

import numpy as np

from backhand.kernels import lstm_step
from tests.kernels.harness import Case

EQUATIONS = [
    "lstm_step.1",
    "lstm_step.2",
    "lstm_step.3",
    "lstm_step.4",
    "lstm_step.5",
    "lstm_step.6",
    "lstm_step.7",
    "lstm_step.8",
    "lstm_step.9",
    "lstm_step.10",
    "lstm_step.11",
]


def plain(rng, B, H):
    return [2 * rng.standard_normal((B, 4 * H)), rng.standard_normal((B, H)), None, None]


def biased(rng, B, H):
    a, c_prev, _, _ = plain(rng, B, H)
    return [a, c_prev, rng.standard_normal(4 * H), None]


def masked(rng, B, H):
    """Of each two rows one goes on and one stays."""
    shapes = (B, 2, 4 * H), (B, 2, H), (4 * H,), (B, 2, H)
    return [*map(rng.standard_normal, shapes), np.tile([1, 0], (B, 1))]


BH = {"B": 4, "H": 5}
CASES = [
    Case(lstm_step, "BH", plain, sizes=BH),
    Case(lstm_step, "BH", biased, label=", biased", sizes=BH, keywords={"forget_bias": 1.0}),
    Case(lstm_step, "BH", masked, label=", masked", sizes=BH, keywords={"forget_bias": -0.5}),
]
