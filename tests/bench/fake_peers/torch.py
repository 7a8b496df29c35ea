"""As much of PyTorch as the harness itself touches."""

import os
from types import SimpleNamespace

__version__ = "0.fake"
compiler = SimpleNamespace(reset=lambda: None)


def set_num_threads(n):
    assert os.environ["OMP_NUM_THREADS"] == str(n)
    print("a library that prints on standard output")
