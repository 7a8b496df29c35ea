"""Every op, backend and precision, by one set of checks."""

import os
import pkgutil
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backhand import kernels
from backhand.backend import backends
from tests.kernels import harness, more_checks
from tests.kernels.cases import MODULES
from tests.kernels.harness import needs
from tests.kernels.layouts import LAYOUTS

NO_BACKWARD = {"adam", "philox"}  # test_adam.py, test_philox.py
# Around the widths of vectors, and with a remainder after them.
SIZES = st.sampled_from([1, 2, 3, 5, 7, 8, 9, 13, 16, 17, 31, 33, 40])

CASES = [
    pytest.param(case, marks=pytest.mark.equation(*getattr(module, "EQUATIONS", ())), id=case.name)
    for module in MODULES.values()
    for case in module.CASES
]
ON_BACKENDS = [
    pytest.param(*param.values, backend, marks=param.marks, id=f"{param.id}-{backend}")
    for param in CASES
    for backend in param.values[0].backends
]
each_case = pytest.mark.parametrize("case", CASES)
each_backend = pytest.mark.parametrize(("case", "backend"), ON_BACKENDS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def examples(count):
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def draw_sizes(case, data, strategy):
    sizes = {}
    for letter in case.letters:
        least, most = case.least.get(letter, 1), case.most.get(letter, 1000)
        sizes[letter] = max(least, min(most, data.draw(strategy, letter)))
    return sizes


def generator(data):
    return np.random.default_rng(data.draw(st.integers(0, 99), "seed"))


def test_every_op_has_cases():
    ops = {module.name for module in pkgutil.iter_modules(kernels.__path__) if module.ispkg}
    assert set(MODULES) == ops - NO_BACKWARD
    for op, module in MODULES.items():
        assert module.CASES, op
        assert module.EQUATIONS, op
    for op in NO_BACKWARD:
        assert not hasattr(import_module(f"backhand.kernels.{op}"), "backward")
    names = [param.id for param in CASES]
    assert len(names) == len(set(names))


def test_what_must_run_here_runs():
    status = backends()
    required = [name for name in os.environ.get("BACKHAND_REQUIRE", "").split(",") if name]
    required = [name for name in required if name in status]  # others are gates: tests/gates/
    assert {name: status[name].reason for name in required if not status[name].available} == {}


@each_backend
@examples(8)
@given(data=st.data())
def test_gradient_by_complex_step(case, backend, data):
    needs(backend)
    sizes = draw_sizes(case, data, st.integers(1, 5))
    harness.check_gradient(case, generator(data), sizes, backend)


@each_backend
def test_gradient_at_the_usual_sizes(case, backend):
    """There, no gradient may vanish."""
    needs(backend)
    harness.check_gradient(case, np.random.default_rng(0), case.sizes, backend)


@each_backend
@each_dtype
@examples(12)
@given(data=st.data())
def test_every_backend_agrees_with_the_float64_reference(case, backend, dtype, data):
    needs(backend)
    sizes = draw_sizes(case, data, SIZES)
    layouts = data.draw(st.lists(st.sampled_from(LAYOUTS), min_size=1, max_size=3), "layouts")
    harness.check_backend(case, generator(data), sizes, backend, dtype, layouts)


@each_backend
@each_dtype
def test_contract(case, backend, dtype):
    needs(backend)
    harness.check_contract(case, np.random.default_rng(1), case.sizes, backend, dtype)


@each_backend
def test_rows_are_independent(case, backend):
    needs(backend)
    if case.batch:
        more_checks.check_rows(case, np.random.default_rng(4), backend)


@each_backend
@each_dtype
def test_empty(case, backend, dtype):
    needs(backend)
    for letter in set(case.letters) - set(case.least):
        sizes = {**case.sizes, letter: 0}
        more_checks.check_empty(case, np.random.default_rng(0), sizes, backend, dtype)


@each_backend
def test_wrong_arguments_and_signatures(case, backend):
    needs(backend)
    more_checks.check_errors(case, np.random.default_rng(5), backend)
    more_checks.check_signatures(case, backend)


@each_backend
@each_dtype
def test_threads_change_nothing(case, backend, dtype):
    needs(backend)
    if backend in ("native", "numba"):  # the others have no threads but those of BLAS
        more_checks.check_threads(case, np.random.default_rng(6), backend, dtype)


# -- the harness itself: a wrong backward must be caught ------------------------------------

# Each fault gets the right gradients, None among them.
FAULTS = {
    "scaled": lambda g, last: 1.001 * g,
    "negated": lambda g, last: -g,
    "zero": lambda g, last: 0 * g,
    "one entry": lambda g, last: np.where(np.arange(g.size).reshape(g.shape) == 0, 2 * g, g),
    "one input by little": lambda g, last: g * (1 + 1e-6) if last else g,
}


def spoiled(case, fault):
    """The case with a backward that has this fault."""

    class Wrong:
        OP, forward = case.op.OP, staticmethod(getattr(case.op, case.functions[0]))

        @staticmethod
        def backward(*args, **kwargs):
            found = getattr(case.op, case.functions[1])(*args, **kwargs)
            found = list(found) if isinstance(found, tuple) else [found]
            last = max(i for i, g in enumerate(found) if g is not None)
            wrong = [
                None if g is None else FAULTS[fault](g, i == last) for i, g in enumerate(found)
            ]
            return tuple(wrong)

    return replace(case, op=Wrong, functions=("forward", "backward"))


@pytest.mark.parametrize("fault", FAULTS)
@each_case
def test_a_wrong_backward_is_caught(case, fault):
    with pytest.raises(AssertionError):
        harness.check_gradient(spoiled(case, fault), np.random.default_rng(3), case.sizes)


def scaled(gradients):
    """By a ten-thousandth, lists of them included."""
    return tuple(
        None if g is None else scaled(g) if isinstance(g, list) else g * g.dtype.type(1.0001)
        for g in gradients
    )


@each_case
def test_a_wrong_backend_is_caught(case, monkeypatch):
    """The reference is right; another backend scales one gradient by a ten-thousandth."""
    right = case.op.OP.implementation("numpy")
    forward, backward = (getattr(right, f) for f in case.functions)

    class Wrong:
        pass

    def wrong_backward(*args, **kwargs):
        found = backward(*args, **kwargs)
        return scaled(found if isinstance(found, tuple) else (found,))

    setattr(Wrong, case.functions[0], staticmethod(forward))
    setattr(Wrong, case.functions[1], staticmethod(wrong_backward))
    monkeypatch.setattr(case.op.OP, "modules", {"numpy": "reference", "native": "planted"})
    monkeypatch.setattr(case.op.OP, "compiled", lambda name: None)
    monkeypatch.setattr(
        case.op.OP, "pick", lambda name, *arrays: Wrong if name == "native" else right
    )
    needs("native")
    for dtype in (np.float32, np.float64):
        with pytest.raises(AssertionError):
            harness.check_backend(case, np.random.default_rng(3), case.sizes, "native", dtype)
