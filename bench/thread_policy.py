"""Why one pool at a time: a product and a kernel in turn, under each division of the threads.

    python -m backhand.bench.thread_policy [--threads 2] [--rounds 7]

The product (128, 256) x (256, 1024) is BLAS's, the tanh of its result a compiled kernel's.  The
row with both pools is what ``bh.set_threads`` refuses; the pools are set behind its back here.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from backhand import threads
from backhand.kernels import bias_activation

STEPS = 64


def sequence(x, W, b):
    """Seconds for each of STEPS products with their kernels."""
    start = time.perf_counter()
    for _ in range(STEPS):
        bias_activation.forward(x @ W, b, "tanh", backend="native")
    return (time.perf_counter() - start) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    x, W, b = (rng.standard_normal(s).astype(np.float32) for s in ((128, 256), (256, 1024), 1024))
    many = args.threads
    divisions: dict[tuple[int, int], list[float]] = {
        (1, 1): [],
        (many, 1): [],
        (1, many): [],
        (many, many): [],
    }
    for _ in range(args.rounds):
        for (blas, native), seconds in divisions.items():
            threads._set_blas(blas)
            threads._set_native(native)
            time.sleep(0.2)  # until the threads of the round before sleep
            sequence(x, W, b)
            seconds.append(sequence(x, W, b))
    print("BLAS  native  microseconds a step: median (minimum)")
    for (blas, native), seconds in divisions.items():
        print(
            f"{blas:4}  {native:6}  {1e6 * statistics.median(seconds):.0f} "
            f"({1e6 * min(seconds):.0f})"
        )


if __name__ == "__main__":
    main()
