"""The kernels in the emulator, under AddressSanitizer with UBSan or under ThreadSanitizer.

Before a run, faults of its kind are planted, and every one must be reported; of the right
kernels nothing may be.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.gates import build
from tests.gates.racing import ADDRESS_FAULTS, FAULTS, PROGRAM, THREAD_FAULTS

ROOT = Path(__file__).parents[2]
EXAMPLES = {"address": "200", "thread": "10"}
RUNTIME = {"address": "libasan.so", "thread": "libtsan.so"}
FLAGS = {"address": build.ADDRESS, "thread": build.THREAD}


def environment(sanitizer, library, **more):
    """Python is not instrumented: the sanitizer's runtime has to be there before it."""
    ask = [build.compiler(), f"-print-file-name={RUNTIME[sanitizer]}"]
    runtime = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    return {
        **os.environ,
        "LD_PRELOAD": runtime,
        "EMULATED": str(library),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself leaks at exit
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "TSAN_OPTIONS": "exitcode=66:report_signal_unsafe=0",
        "OPENBLAS_NUM_THREADS": "1",
        "BACKHAND_REQUIRE": "numpy,emulated",
        **more,
    }


def planted(sanitizer, faults):
    """Each planted kernel in a process of its own; the names of those that went unreported."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "planted").mkdir()
        (root / "planted" / "kernel.cu").write_text(FAULTS)
        library = build.library(f"faults-{sanitizer}", root, FLAGS[sanitizer])
        missed = []
        for kernel, words in faults.items():
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, str(root), kernel], cwd=ROOT,
                env=environment(sanitizer, library), capture_output=True, text=True,
            )  # fmt: skip
            said = done.stdout + done.stderr
            fine = done.returncode == 0 and "done" in said if words is None else words in said
            if not fine or (words is not None and done.returncode == 0):
                missed.append(kernel)
                print(f"{kernel}: expected {words}, exit status {done.returncode}\n{said[-4000:]}")
    return missed


def tests(sanitizer):
    library = build.library(sanitizer, flags=FLAGS[sanitizer])
    command = [sys.executable, "-m", "pytest", "-p", "tests.gates.plugin", "-q", "-x"]
    command += ["--capture=sys", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
    return subprocess.run(
        [*command, "tests/gates/test_orders.py"], cwd=ROOT,
        env=environment(sanitizer, library, GATE_EXAMPLES=EXAMPLES[sanitizer]),
    ).returncode  # fmt: skip


def run(sanitizer):
    faults = {"address": ADDRESS_FAULTS, "thread": THREAD_FAULTS}[sanitizer]
    missed = planted(sanitizer, faults)
    if missed:
        print(f"{sanitizer}: not as expected: {', '.join(missed)}")
        return 1
    print(f"{sanitizer}: {len(faults)} planted kernels are as expected", flush=True)
    return tests(sanitizer)
