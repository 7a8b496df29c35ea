from backhand.kernels import dense_bernoulli
from tests.kernels.harness import Case

EQUATIONS = [
    "dense_bernoulli.1", "dense_bernoulli.2", "dense_bernoulli.3", "dense_bernoulli.4",
]  # fmt: skip


class layers:
    """The op with its arrays in one row: h, W, b, W, b, and x, which is data."""

    OP = dense_bernoulli.OP

    @staticmethod
    def forward(h, W1, b1, W2, b2, x, *, backend):
        activations = ("tanh", "identity")
        return dense_bernoulli.forward(h, (W1, W2), (b1, b2), activations, x, backend=backend)

    @staticmethod
    def backward(d_logp, saved, need_h=True, *, backend):
        dh, dWs, dbs = dense_bernoulli.backward(d_logp, saved, need_h=need_h, backend=backend)
        return dh, *(d for pair in zip(dWs, dbs, strict=True) for d in pair), None


class logits:
    """One layer: h, W, b and x."""

    OP = dense_bernoulli.OP

    @staticmethod
    def forward(h, W, b, x, *, backend):
        return dense_bernoulli.forward(h, (W,), (b,), ("identity",), x, backend=backend)

    @staticmethod
    def backward(d_logp, saved, need_h=True, *, backend):
        dh, (dW,), (db,) = dense_bernoulli.backward(d_logp, saved, need_h=need_h, backend=backend)
        return dh, dW, db, None


def one(rng, K, B, D, H):
    h = rng.standard_normal((K, B, D)) / max(D, 1) ** 0.5
    x = (rng.random((B, H)) < 0.3).astype(float)
    return [h, 2 * rng.standard_normal((D, H)), rng.standard_normal(H), x]


def two(rng, K, B, D, H):
    h, W, b, x = one(rng, K, B, D, H)
    first = [rng.standard_normal((D, D)) / max(D, 1) ** 0.5, rng.standard_normal(D)]
    return [h, *first, W, b, x]


LARGE = {"K": 3, "B": 40, "D": 60, "H": 70}
FEW = {"K": 1, "B": 40, "D": 300, "H": 400}  # rows, which go by columns
CASES = [
    Case(
        layers, "KBDH", two, (), ", two layers", differentiable=(0, 1, 2, 3, 4),
        sizes={"K": 2, "B": 3, "D": 5, "H": 7}, threads=LARGE,
    ),
    Case(
        logits, "KBDH", one, differentiable=(0, 1, 2), sizes={"K": 2, "B": 3, "D": 4, "H": 40},
        threads=FEW, unshared=(("numba", "backward"),),  # of one layer: BLAS
    ),
]  # fmt: skip
