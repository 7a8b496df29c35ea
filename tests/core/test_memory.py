"""What a step frees is there for the next one: counted in page faults, in a process of its own."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
from backhand.memory import kept_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        arrays = [np.ones(300_000) for _ in range(8)]  # 2.4 MB each
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print("before", faults())
with kept_memory():
    faults()
    print("inside", faults())
print("after", faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_large_arrays_come_back_without_new_pages():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = dict(line.split() for line in run.stdout.splitlines())
    assert int(found["before"]) > 4000, found
    assert int(found["inside"]) < 100, found
    assert int(found["after"]) > 4000, found  # 19.2 MB went back to the system
