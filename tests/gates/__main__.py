"""python -m tests.gates: every gate for the CUDA kernels, two at a time; NAME ...: these;
``record`` writes resources.json anew."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.gates import nvrtc, sanitizers

HERE = Path(__file__).parent
# The property cases run under both sanitizers; "own" are the compiler's and the emulator's tests.
GATES = {
    "address": lambda: sanitizers.run("address"),
    "thread": lambda: sanitizers.run("thread"),
    "own": lambda: pytest.main(["-q", str(HERE), f"--ignore={HERE / 'test_orders.py'}"]),
}
SIDE_BY_SIDE = (["address"], ["thread", "own"])


def run(names):
    for name in names:
        began = time.perf_counter()
        status = GATES[name]()
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
        if status:
            return int(status)
    return 0


def run_beside(names):
    command = [sys.executable, "-m", "tests.gates", *names]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, flush=True)
    return done.returncode


def run_all():
    with ThreadPoolExecutor(len(SIDE_BY_SIDE)) as pool:
        return int(any(list(pool.map(run_beside, SIDE_BY_SIDE))))


if __name__ == "__main__":
    names = sys.argv[1:]
    if names == ["record"]:
        print(f"{nvrtc.record()} kernels on record, by NVRTC {nvrtc.version()}")
    else:
        sys.exit(run(names) if names else run_all())
