from backhand.kernels import softmax_cross_entropy
from tests.kernels.harness import Case

EQUATIONS = ["softmax_cross_entropy.1", "softmax_cross_entropy.2", "softmax_cross_entropy.3"]


def inputs(rng, B, T, V):
    return [3 * rng.standard_normal((B, T, V)), rng.integers(0, max(V, 1), (B, T))]


def rows(rng, B, V):
    return [3 * rng.standard_normal((B, V)), rng.integers(0, V, B).astype("i4")]


CASES = [
    Case(softmax_cross_entropy, "BTV", inputs, sizes={"B": 3, "T": 2, "V": 5}, least={"V": 2}),
    Case(
        softmax_cross_entropy, "BV", rows, label=", int32", sizes={"B": 3, "V": 33}, least={"V": 2}
    ),
]
