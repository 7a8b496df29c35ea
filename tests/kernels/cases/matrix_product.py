from backhand.kernels import matrix_product
from tests.kernels.harness import Case

EQUATIONS = ["matrix_product.1", "matrix_product.2", "matrix_product.3"]

UNSHARED = (("numba", "forward"), ("numba", "backward"))  # BLAS


def inputs(rng, B, D, H):
    return [rng.standard_normal((B, D)), rng.standard_normal((D, H))]


def samples(rng, K, B, D, H):
    return [rng.standard_normal((K, B, D)), rng.standard_normal((D, H))]


CASES = [
    Case(
        matrix_product, "BDH", inputs, sizes={"B": 4, "D": 5, "H": 3},
        threads={"B": 40, "D": 300, "H": 70}, unshared=UNSHARED,
    ),
    Case(
        matrix_product, "KBDH", samples, label=", samples", unshared=UNSHARED,
        sizes={"K": 2, "B": 3, "D": 5, "H": 20}, threads={"K": 2, "B": 20, "D": 300, "H": 70},
    ),
]  # fmt: skip
