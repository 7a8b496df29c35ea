from backhand.kernels import gaussian_density
from tests.kernels.harness import Case

EQUATIONS = [
    "gaussian_density.1",
    "gaussian_density.2",
    "gaussian_density.3",
    "gaussian_density.4",
    "gaussian_density.5",
]


def inputs(rng, K, B, D):
    x, mean = rng.standard_normal((B, D)), rng.standard_normal((K, B, D))
    return [x, mean, rng.uniform(-1, 1, (K, B, D))]  # of the size of the residuals


def shared(rng, K, B, D):
    x, mean, _ = inputs(rng, K, B, D)
    return [x, mean, rng.uniform(-1, 1, D)]


def deep(rng, K, B, D):
    x, mean = rng.standard_normal((2, K, B, D))
    return [x, mean, rng.uniform(-1, 1, (K, B, D))]


SIZES = {"K": 3, "B": 4, "D": 5}
CASES = [
    Case(gaussian_density, "KBD", inputs, sizes=SIZES),
    Case(gaussian_density, "KBD", shared, label=", shared", sizes=SIZES),
    Case(gaussian_density, "KBD", deep, label=", no sample axis", sizes=SIZES),
]
