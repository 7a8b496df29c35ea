import numpy as np

from backhand.kernels import dense
from tests.kernels.harness import Case

EQUATIONS = ["dense.1", "dense.2", "dense.3", "dense.4", "dense.5", "dense.6"]

UNSHARED = (("numba", "forward"), ("numba", "backward"))  # BLAS


def inputs(rng, B, D, H):
    x = rng.standard_normal((B, D)) / max(D, 1) ** 0.5  # or tanh would be flat
    return [x, rng.standard_normal((D, H)), rng.standard_normal(H)]


def positive(rng, B, D, H):
    """A positive first row, or relu might have no gradient to check."""
    x, W, b = inputs(rng, B, D, H)
    x[:1] = np.abs(x[:1])
    return [x, np.abs(W), np.abs(b)]


def samples(rng, K, B, D, H):
    x, W, b = inputs(rng, K * B, D, H)
    return [x.reshape(K, B, D), W, b]


class layers:
    """forward_layers and its backward with their arrays in one row: x, W, b, W, b."""

    OP = dense.OP

    @staticmethod
    def forward(x, W1, b1, W2, b2, W3, b3, *activations, backend):
        return dense.forward_layers(x, (W1, W2, W3), (b1, b2, b3), activations, backend=backend)

    @staticmethod
    def backward(dy, saved, need_x=True, *, backend):
        dx, dWs, dbs = dense.backward_layers(dy, saved, need_x=need_x, backend=backend)
        return dx, *(d for pair in zip(dWs, dbs, strict=True) for d in pair)


def three(rng, B, D, H):
    x, W, b = inputs(rng, B, D, H)
    back = [rng.standard_normal((H, D)) / max(H, 1) ** 0.5, rng.standard_normal(D)]
    return [x, W, b, *back, W + 1 / max(D, 1) ** 0.5, b - 1]


LARGE = {"B": 40, "D": 300, "H": 70}
CASES = [
    Case(
        dense, "BDH", inputs, ("tanh",), sizes={"B": 4, "D": 5, "H": 3}, threads=LARGE,
    ),
    Case(
        dense, "BDH", positive, ("relu",), ", relu", sizes={"B": 40, "D": 5, "H": 3},
        threads=LARGE,
    ),
    Case(
        layers, "BDH", three, ("tanh", "softplus", "sigmoid"), ", three layers",
        sizes={"B": 4, "D": 5, "H": 3}, threads={**LARGE, "B": 130},
    ),
    Case(
        dense, "KBDH", samples, ("identity",), ", identity, samples", unshared=UNSHARED,
        sizes={"K": 2, "B": 3, "D": 5, "H": 20}, threads={"K": 2, **LARGE},
    ),
]  # fmt: skip
