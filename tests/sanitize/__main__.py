"""python -m tests.sanitize: build the kernels with sanitizers, and run their tests.

Before that, a read beyond the end of an array is planted, and must be found: or the sanitizers
would not see the arrays that come from NumPy.
"""

import os
import subprocess
import sys

from tests.mutants.build import ROOT, link, objects

WORK = ROOT / "build" / "sanitize"
SANITIZERS = [
    "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g",
]  # fmt: skip
# Functions in clones are chosen before the sanitizer is ready: one set of instructions for all.
FLAGS = [*SANITIZERS, "-O1", "-DBH_NO_CLONES"]
TESTS = ["tests/kernels", "tests/core/test_threads.py", "-k", "native and not wrong_backend"]
# What is planted: in csrc/bias_activation/cpu.cpp, without a bias.
OP, RIGHT, WRONG = (
    "bias_activation",
    "i < n; ++i) y[i] = activation",
    "i <= n; ++i) y[i] = activation",
)


def compiler():
    return os.environ.get("CXX", "g++")


def runtime():
    """libasan.so: Python is not instrumented, so the runtime has to be there before it."""
    ask = [compiler(), "-print-file-name=libasan.so"]
    return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()


def run_tests(module, *arguments):
    environment = {
        **os.environ,
        "SANITIZED": str(module),
        "LD_PRELOAD": runtime(),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself leaks at exit
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "BACKHAND_REQUIRE": "numpy,native",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pytest", "-p", "tests.sanitize.plugin", "-q", "-x"]
    command += ["--capture=sys", "-p", "no:cacheprovider", "-p", "no:faulthandler", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def planted(compiled):
    """A module in which one loop reads and writes one element too many."""
    source = ROOT / "csrc" / OP / "cpu.cpp"
    text = source.read_text()
    assert text.count(RIGHT) == 1, f"{source}: what is to be spoiled has changed"
    folder = WORK / "planted"
    folder.mkdir(parents=True, exist_ok=True)
    wrong = folder / "cpu.cpp"
    wrong.write_text(text.replace(RIGHT, WRONG))
    command = [compiler(), "-std=c++17", "-fPIC", *FLAGS, f"-I{ROOT / 'csrc'}"]
    subprocess.run([*command, "-c", str(wrong), "-o", str(folder / "cpu.o")], check=True)
    rest = [o for o in compiled if f"csrc/{OP}/" not in str(o)]
    return link(folder / "_native.so", [folder / "cpu.o", *rest], SANITIZERS)


def main():
    compiled = objects(WORK, FLAGS)
    case = f"tests/kernels/test_every_op.py::test_contract[float64-{OP}, no bias-native]"
    found = run_tests(planted(compiled), case)
    if "heap-buffer-overflow" not in found.stdout + found.stderr:
        print(found.stdout, found.stderr)
        print("a planted read beyond the end of an array was not found")
        return 1
    print("planted: heap-buffer-overflow found", flush=True)
    done = run_tests(link(WORK / "_native.so", compiled, SANITIZERS), *TESTS)
    print(done.stdout[-6000:], done.stderr[-12000:])
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
