"""The peak memory of a step, in a process that does nothing else.

Linux keeps the high-water mark of a process's resident memory (VmHWM) and sets it back to what is
there now when 5 is written to clear_refs.  So it is set back after the first steps, in which
compilers run, and read after the next ones.
"""

from __future__ import annotations

import ctypes
import gc
import time
from pathlib import Path

import numpy as np

from backhand.bench.harness.case import Make

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FIRST = 3  # steps before: they compile, and make what lives as long as the training
SECONDS, FEWEST = 0.5, 3  # steps that are watched


def available() -> bool:
    """Only Linux tells."""
    return STATUS.exists() and CLEAR.exists()


def peak(make: Make, inputs: str) -> dict[str, int]:
    """Bytes.  ``total``: all that the process has at its highest; ``step``: what of it a step
    takes beyond what stands between two steps; ``added``: that and what stands there, without
    the inputs, what the imports had taken, and pages of files (the code of the libraries).
    """
    give_back()
    imports = resident("RssAnon")
    with np.load(inputs) as archive:
        arrays = dict(archive)
    size = sum(a.nbytes for a in arrays.values())
    step = make(arrays)
    del arrays  # a library that has copied them holds them once, too
    for _ in range(FIRST):
        step()
    give_back()
    between, kept = resident("VmRSS"), resident("RssAnon") - imports - size
    CLEAR.write_text("5")
    end, steps = time.monotonic() + SECONDS, 0
    while steps < FEWEST or time.monotonic() < end:
        step()
        steps += 1
    total = resident("VmHWM")
    return {"total": total, "added": kept + total - between, "step": total - between}


def resident(field: str) -> int:
    """VmRSS: now; RssAnon: of it, what comes from no file; VmHWM: at most."""
    lines = STATUS.read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def give_back() -> None:
    """Memory that was freed goes back to the system, whoever kept it for later."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim:
        trim(0)
