from backhand.kernels import gaussian_sample
from tests.kernels.harness import Case

EQUATIONS = [
    "gaussian_sample.1",
    "gaussian_sample.2",
    "gaussian_sample.3",
    "gaussian_sample.4",
    "gaussian_sample.5",
    "gaussian_sample.6",
    "gaussian_sample.7",
]


def inputs(rng, K, B, Z):
    return [rng.standard_normal(s) for s in ((B, 2 * Z), (K, B, Z))]


def deep(rng, K, B, Z):
    """A second stochastic layer: every sample has statistics of its own."""
    return [rng.standard_normal(s) for s in ((K, B, 2 * Z), (K, B, Z))]


SIZES = {"K": 3, "B": 4, "Z": 5}
CASES = [
    Case(gaussian_sample, "KBZ", inputs, sizes=SIZES),
    Case(gaussian_sample, "KBZ", deep, label=", no sample axis", sizes=SIZES),
]
