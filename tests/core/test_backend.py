"""Which code runs: argument, context, environment, else the best; nothing in silence."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import types

import numpy as np
import pytest

import backhand as bh
from backhand import backend as backend_module
from backhand.backend import BackendUnavailable, Op, Status, backends, use_backend
from backhand.kernels import bernoulli_logits, philox

X = np.ones(3)
ALL = ("numpy", "numba", "native", "cuda", "emulated")


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch):
    monkeypatch.setattr(backend_module, "_environment", None)


@pytest.fixture
def available(monkeypatch):
    """Make this machine able to run the named backends, and no others."""

    def only(*names):
        def status(name):
            return Status(True, "here") if name in names else Status(False, f"no {name}: get one")

        monkeypatch.setattr(backend_module, "status", status)

    return only


def op(*names):
    return Op("pretend.kernels.gate", **{name: f"{name}_module" for name in names})


class Device:
    """Looks like an array on a GPU."""

    __module__ = "cupy"
    __cuda_array_interface__ = {}
    dtype = np.dtype("float32")


# -- the order -------------------------------------------------------------------------------


def test_the_best_backend_that_the_op_has_and_the_machine_can_run(available):
    available("numpy", "numba", "native")
    assert op(*ALL).resolve(None, X) == "native"
    assert op("numpy", "numba").resolve(None, X) == "numba"
    assert op("numpy").resolve(None, X) == "numpy"
    available("numpy", "numba")
    assert op(*ALL).resolve(None, X) == "numba"
    available("numpy")
    assert op(*ALL).resolve(None, X) == "numpy"


def test_argument_before_context_before_environment_before_the_best(available, monkeypatch):
    available(*ALL)
    gate = op(*ALL)
    monkeypatch.setattr(backend_module, "_environment", "emulated")
    assert gate.resolve(None, X) == "emulated"
    with use_backend("numba"):
        assert gate.resolve(None, X) == "numba"
        assert gate.resolve("numpy", X) == "numpy"
    assert gate.resolve("native", X) == "native"
    assert gate.resolve(None, X) == "emulated"
    monkeypatch.setattr(backend_module, "_environment", None)
    assert gate.resolve(None, X) == "native"


def test_contexts_nest_and_end_also_by_an_exception(available):
    available(*ALL)
    gate = op(*ALL)
    with use_backend("numba"):
        with use_backend("numpy"):
            assert gate.resolve(None, X) == "numpy"
        with pytest.raises(KeyError), use_backend("emulated"):
            raise KeyError
        assert gate.resolve(None, X) == "numba"
    assert gate.resolve(None, X) == "native"


def test_a_context_belongs_to_its_thread(available):
    available(*ALL)
    gate, seen = op(*ALL), []
    with use_backend("numpy"):
        thread = threading.Thread(target=lambda: seen.append(gate.resolve(None, X)))
        thread.start()
        thread.join()
    assert seen == ["native"]


def test_complex_arrays_run_the_reference_whatever_is_asked(available):
    available(*ALL)
    gate = op(*ALL)
    with use_backend("native"):
        assert gate.resolve("numba", X, X.astype(complex)) == "numpy"
    assert gate.resolve(None, None, "text", 3, X) == "native"  # what is no array has no say


# -- what is missing ---------------------------------------------------------------------------


def test_an_unknown_name_lists_the_known_ones(available):
    available(*ALL)
    words = "unknown backend 'fortran'; there are numpy, numba, native, cuda, emulated"
    with pytest.raises(ValueError, match=words):
        op("numpy").resolve("fortran", X)
    with pytest.raises(ValueError, match=words), use_backend("fortran"):
        pass


def test_a_missing_backend_is_an_error_with_reason_and_cure(available, monkeypatch):
    available("numpy")
    words = "backend 'native' is not available: no native: get one"
    with pytest.raises(BackendUnavailable, match=words):
        op(*ALL).resolve("native", X)
    with pytest.raises(BackendUnavailable, match=words), use_backend("native"):
        pytest.fail("the block must not run")
    monkeypatch.setattr(backend_module, "_environment", "native")
    words = r"'native' \(from the variable BACKHAND_BACKEND\) is not available: no native: get one"
    with pytest.raises(BackendUnavailable, match=words):
        op(*ALL).resolve(None, X)


def test_an_op_without_that_form_says_which_it_has(available):
    available(*ALL)
    with use_backend("numba"), pytest.raises(BackendUnavailable) as caught:
        op("numpy", "native").resolve(None, X)
    assert str(caught.value) == (
        "gate has no numba form, only numpy, native; leave the backend out to take the best one "
        "per op"
    )


def test_the_compiled_module_is_said_to_be_missing_with_its_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "backhand._native", None)
    backend_module.status.cache_clear()
    try:
        status = backends()["native"]
    finally:
        backend_module.status.cache_clear()
    assert not status.available
    assert "compiled module is missing" in status.reason
    assert "BACKHAND_NATIVE=1" in status.reason


def test_a_compiled_module_that_is_there_is_available(monkeypatch):
    native = types.ModuleType("backhand._native")
    native.compiler = "g++ 99"
    monkeypatch.setitem(sys.modules, "backhand._native", native)
    backend_module.status.cache_clear()
    try:
        assert backends()["native"] == Status(True, "compiled by g++ 99")
    finally:
        backend_module.status.cache_clear()


def test_every_backend_has_a_status_and_a_reason():
    found = bh.backends()
    assert list(found) == list(ALL)
    assert all(status.reason for status in found.values())
    assert found["numpy"].available
    assert np.__version__ in found["numpy"].reason


# -- devices -----------------------------------------------------------------------------------


def test_the_array_picks_the_device(available):
    available(*ALL)
    assert op(*ALL).resolve(None, Device()) == "cuda"


@pytest.mark.parametrize("name", ["numpy", "numba", "native", "emulated"])
def test_a_device_array_does_not_go_to_the_host(available, name):
    available(*ALL)
    with pytest.raises(BackendUnavailable, match=f"{name!r} and arrays in device memory"):
        op(*ALL).resolve(name, X, Device())


def test_a_host_array_does_not_go_to_the_device(available):
    available(*ALL)
    with pytest.raises(BackendUnavailable, match="'cuda' and arrays in host memory do not go"):
        op(*ALL).resolve("cuda", X)


# -- real ops ------------------------------------------------------------------------------------


def test_the_module_is_imported_when_it_is_picked(available, monkeypatch):
    available("numpy", "numba")
    module = types.ModuleType("pretend.kernels.gate.numba_module")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for parent in ("pretend", "pretend.kernels", "pretend.kernels.gate"):
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
    assert op("numpy", "numba").pick(None, X) is module
    assert op("numpy", "numba").implementation("numba") is module


def test_every_op_has_a_reference():
    for package in (bernoulli_logits, philox):
        assert package.OP.modules["numpy"] == "reference"
        assert package.OP.pick("numpy").__name__ == f"{package.__name__}.reference"


def test_a_front_door_passes_the_backend_on():
    x, logits = np.ones((2, 3)), np.zeros((1, 2, 3))
    with pytest.raises(ValueError, match="unknown backend 'fortran'"):
        bernoulli_logits.forward(x, logits, backend="fortran")
    with use_backend("numpy"):
        logp, _ = bernoulli_logits.forward(x, logits)
    assert np.allclose(logp, -3 * np.log(2))


@pytest.mark.parametrize(("value", "words"), [("cuda", "'cuda'"), ("", "(1, 2)")])
def test_the_variable_is_read_at_import_and_never_written(value, words):
    program = (
        "import os, numpy as np, backhand as bh\n"
        "from backhand.kernels import bernoulli_logits as b\n"
        "before = dict(os.environ)\n"
        "try: print(b.forward(np.ones((2, 3)), np.ones((1, 2, 3)))[0].shape)\n"
        "except bh.BackendUnavailable as e: print(e)\n"
        "print(dict(os.environ) == before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "BACKHAND_BACKEND": value},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    said, unchanged = done.stdout.splitlines()
    assert words in said
    assert unchanged == "True"
