"""What the tests of checkpoints save."""

import numpy as np

from backhand import checkpoint
from backhand.checkpoint import save

RNG = np.random.default_rng(0)
ARRAYS = {
    "vector": RNG.standard_normal(300).astype(np.float32),
    "optimizer/0/step": np.array(7),
    "file": RNG.standard_normal((3, 4)),
    "complex": np.array([1 + 2j]),
    "empty": np.zeros((0, 5), np.float32),
    "flags": np.array([True, False]),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(10)[::3],
    "swapped": np.arange(3, dtype=">f4"),
    "special": np.array([np.nan, np.inf, -0.0, 5e-324]),
}
META = {"progress": {"step": 7, "best": float("inf"), "x": 0.1}, "name": "ü\n", "list": [1, None]}


def newer(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 2)
        save(path, ARRAYS, {})
