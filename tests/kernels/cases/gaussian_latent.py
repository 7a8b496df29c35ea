from backhand.kernels import gaussian_latent
from tests.kernels.harness import Case

EQUATIONS = [
    "gaussian_latent.1",
    "gaussian_latent.2",
    "gaussian_latent.3",
    "gaussian_latent.4",
    "gaussian_latent.5",
]


def inputs(rng, K, B, Z):
    return [rng.standard_normal(s) for s in ((B, Z), (B, Z), (K, B, Z))]


def deep(rng, K, B, Z):
    """A second stochastic layer: every sample has a mean of its own."""
    return [rng.standard_normal((K, B, Z)) for _ in range(3)]


SIZES = {"K": 3, "B": 4, "Z": 5}
CASES = [
    Case(gaussian_latent, "KBZ", inputs, sizes=SIZES),
    Case(gaussian_latent, "KBZ", deep, label=", no sample axis", sizes=SIZES),
]
