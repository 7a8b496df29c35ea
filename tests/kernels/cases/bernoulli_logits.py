from backhand.kernels import bernoulli_logits
from tests.kernels.harness import Case

EQUATIONS = ["bernoulli_logits.1", "bernoulli_logits.2", "bernoulli_logits.3"]


def inputs(rng, K, B, D):
    return [rng.random((B, D)), 3 * rng.standard_normal((K, B, D))]


def sets(rng, K, B, D):
    """Sets of two points under two sample axes."""
    return [rng.random((B, 2, D)), 3 * rng.standard_normal((K, 2, B, 2, D))]


SIZES = {"K": 3, "B": 4, "D": 5}
CASES = [
    Case(bernoulli_logits, "KBD", inputs, sizes=SIZES),
    Case(bernoulli_logits, "KBD", sets, label=", sets", sizes=SIZES),
]
