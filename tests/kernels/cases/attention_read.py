"""Reading one and two images, of any sides and channels."""

from backhand.kernels import attention_read
from tests.kernels.cases.filterbank import heads
from tests.kernels.harness import Case

EQUATIONS = [
    "attention_read.1",
    "attention_read.2",
    "attention_read.3",
    "attention_read.4",
    "attention_read.5",
    "attention_read.6",
    "attention_read.7",
]


def two(rng, B, C, D, H, W):
    return [
        heads(rng, B), rng.standard_normal((B, C, H, W)), rng.standard_normal((B, D, H, W))
    ]  # fmt: skip


def one(rng, B, C, H, W):
    return [heads(rng, B), rng.standard_normal((B, C, H, W)), None]


SIZES = {"B": 4, "C": 2, "D": 1, "H": 9, "W": 7}
LEAST = {"H": 1, "W": 1}
MOST = {"B": 9, "C": 4, "D": 4, "H": 66, "W": 66}
ONE = {"B": 4, "C": 1, "H": 9, "W": 7}
EXTENT = {"least": LEAST, "most": MOST}
CASES = [
    Case(attention_read, "BCDHW", two, (2,), ", N=2", sizes=SIZES, **EXTENT),
    Case(attention_read, "BCDHW", two, (5,), ", N=5", sizes=SIZES, **EXTENT),
    Case(attention_read, "BCHW", one, (9, 1e-3), ", one image", sizes=ONE, **EXTENT),
]
