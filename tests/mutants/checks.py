"""The op's own checks, run in a child process on a mutant: what they do not notice survives."""

import contextlib
import io
import os
import sys
from importlib import import_module
from importlib.machinery import ExtensionFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "kernels"
LARGER = 37  # not a multiple of any vector's width
# Reads what the compiler reports about the kernels as they are: minutes, and no mutant is run.
NO_RUN = "test_vectorised.py"


class Exchanged:
    """Finds one module where ``make`` says."""

    def __init__(self, name, make):
        self.name, self.make = name, make

    def find_spec(self, name, path, target=None):
        if name != self.name:
            return None
        return self.make(name, path)


def exchange(name, make):
    sys.meta_path.insert(0, Exchanged(name, make))


def exchange_native(file):
    """``backhand._native`` is this file, whatever is installed."""
    loader = ExtensionFileLoader("backhand._native", str(file))
    exchange(
        loader.name, lambda name, path: spec_from_file_location(name, str(file), loader=loader)
    )


def notices(backend, op):
    """Whether a check of the op fails on what is importable now; quick ones first."""
    return quickly(backend, op) or by_tests(backend, op)


def philox(backend):
    tests = import_module("tests.kernels.test_philox")
    if backend == "numpy":
        for known in tests.KNOWN:
            tests.test_known_answers_of_the_bijection(*known)
        tests.test_normals_are_box_and_muller_on_pairs(10)
    else:
        tests.test_every_word_is_the_one_of_its_counter(1025, backend)
    for dtype in (np.float32, np.float64):
        tests.test_bernoulli_is_one_where_the_uniform_is_below_p(1030, dtype, backend)
        if backend != "numpy":
            tests.test_normals_within_two_units(dtype, 1022, backend)


def adam(backend):
    tests = import_module("tests.kernels.test_adam")
    with import_module("backhand").use_backend(backend):
        for dtype in ("float32", "float64"):
            tests.test_equals_the_published_algorithm(LARGER, dtype)
            tests.test_scale_and_decoupled_decay(dtype)


WITHOUT_CASES = {"philox": philox, "adam": adam}  # most of their tests, without pytest


def quickly(backend, op):
    try:
        with np.errstate(all="ignore"):
            if op in WITHOUT_CASES:
                WITHOUT_CASES[op](backend)
                return False
            harness = import_module("tests.kernels.harness")
            harness.available = lambda case: [n for n in ("numpy", backend) if n in case.backends]
            for case in import_module(f"tests.kernels.cases.{op}").CASES:
                rng = np.random.default_rng(0)
                if backend == "numpy":
                    harness.check_gradient(case, rng, case.sizes)
                    continue
                larger = {n: min(LARGER, case.most.get(n, LARGER)) for n in case.letters}
                larger = {n: max(case.least.get(n, 1), size) for n, size in larger.items()}
                for sizes in (case.sizes, larger):
                    harness.check_backend(case, rng, sizes, backend, np.float64)
    except Exception:
        return True
    return False


def by_tests(backend, op):
    """The harness by pytest, and every test file that speaks of the op."""
    import pytest

    named = "" if backend == "numpy" else f" and {backend}"
    every = TESTS / "test_every_op.py"
    files = sorted(set(TESTS.glob("test_*.py")) - {every, TESTS / NO_RUN})
    own = [str(path) for path in files if op in path.read_text()]
    runs = [[str(every), "-k", f"({op}{named}) and not wrong_back"]]
    # The kernels of Numba and of the emulator are what they are, and take seconds.
    runs[:0] = [[*own, "-k", "not numba and not emulated"]] if own else []
    quiet = ["-x", "-q", "-p", "no:cacheprovider"]
    show = os.environ.get("BACKHAND_MUTANTS_SHOW")
    with contextlib.nullcontext() if show else contextlib.redirect_stdout(io.StringIO()):
        # 5: no test was selected, as for an op without a backward.
        return any(pytest.main([*quiet, *run]) not in (0, 5) for run in runs)
