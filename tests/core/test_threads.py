"""Threads of BLAS, in a process where there are two to begin with."""

import os
import subprocess
import sys

PROGRAM = """
import numpy as np
np.ones((2, 2)) @ np.ones((2, 2))
import backhand as bh
from backhand.threads import blas_threads, thread_counts
before = set(thread_counts().values())
with blas_threads(1):
    inside = set(thread_counts().values())
after = set(thread_counts().values())
bh.set_threads(blas=1)
print(before, inside, after, set(thread_counts().values()))
try:
    bh.set_threads(blas=0)
except ValueError as error:
    print(error)
"""


def test_threads_are_set_and_given_back():
    two = {"OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **two},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "{2} {1} {2} {1}",
        "the number of threads must be at least 1, got 0",
    ]
