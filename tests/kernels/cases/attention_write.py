"""Writing patches of any size and channels onto square and oblong canvases."""

from backhand.kernels import attention_write
from tests.kernels.cases.filterbank import heads
from tests.kernels.harness import Case

EQUATIONS = [
    "attention_write.1",
    "attention_write.2",
    "attention_write.3",
    "attention_write.4",
    "attention_write.5",
    "attention_write.6",
    "attention_write.7",
]


def inputs(rng, B, C, N):
    return [heads(rng, B), rng.standard_normal((B, C, N, N))]


SIZES = {"B": 4, "C": 2, "N": 5}
LEAST, MOST = {"N": 2}, {"B": 9, "C": 4, "N": 17}
CASES = [
    Case(attention_write, "BCN", inputs, (h, w), f", {h}x{w}", sizes=SIZES, least=LEAST, most=MOST)
    for h, w in ((28, 28), (5, 9), (33, 1))
]
