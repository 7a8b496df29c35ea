"""Filters of square and oblong images, within the image and beyond it, with and without eps."""

import numpy as np

from backhand.kernels import filterbank
from tests.kernels.harness import Case

EQUATIONS = [
    "filterbank.1",
    "filterbank.2",
    "filterbank.3",
    "filterbank.4",
    "filterbank.5",
    "filterbank.6",
    "filterbank.7",
    "filterbank.8",
    "filterbank.9",
    "filterbank.10",
    "filterbank.11",
    "filterbank.12",
]


def heads(rng, B):
    """gx~, gy~, log s2, log d~, log gamma: from narrow to broad, some across the image's edge.

    Filters far outside and on single pixels: test_attention.py in double precision, and
    test_filterbank.py, as single precision has few digits there (a logit near log eps is known
    to about l * 1e-7).
    """
    spread = np.array([0.5, 0.5, 0.5, 0.4, 0.5])
    return spread * rng.standard_normal((B, 5)) + np.array([0, 0, 1.0, -1.1, 0])


def inputs(rng, B):
    return [heads(rng, B)]


MANY = {"threads": {"B": 3000}}
CASES = [
    Case(filterbank, "B", inputs, (5, 28, 28), ", 28x28", sizes={"B": 4}, **MANY),
    Case(filterbank, "B", inputs, (2, 9, 5), ", 2 filters", sizes={"B": 4}, **MANY),
    Case(filterbank, "B", inputs, (17, 6, 33), ", 17 filters", sizes={"B": 3}, **MANY),
    Case(filterbank, "B", inputs, (3, 12, 7, 0.0), ", eps=0", sizes={"B": 4}, **MANY),
    Case(filterbank, "B", inputs, (4, 1, 3, 0.1), ", one row", sizes={"B": 4}, **MANY),
]
