"""Peak memory, and where our time goes: planted steps of which both are known."""

import sys
import time

import numpy as np
import pytest

from backhand.backend import status
from backhand.bench.harness import alone, markdown, memory, report, split
from backhand.bench.harness.case import Implementation
from backhand.bench.harness.runner import Settings, run
from backhand.kernels import bias_activation, dense, matrix_product
from backhand.memory import keep_memory
from tests.bench.conftest import FOUND

MB = 1 << 20
compiled = pytest.mark.skipif(not status("native").available, reason="no compiled module")
linux = pytest.mark.skipif(not memory.available(), reason="only Linux tells")
unix = pytest.mark.skipif(sys.platform == "win32", reason="no getrusage")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(split, "SECONDS", 0.05)
    monkeypatch.setattr(memory, "SECONDS", 0.01)


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


# -- where the time goes -------------------------------------------------------------------


@unix
def test_a_step_that_sleeps_is_python():
    found = split.measure(lambda: time.sleep(0.005))
    assert found["python"] > 0.95 * found["seconds"] > 0.004
    assert found["calls"] == 0


@unix
@pytest.mark.parametrize("backend", ["numpy", pytest.param("native", marks=compiled)])
def test_a_product_is_a_product(backend):
    x, W, dW = draw(500, 500), draw(500, 500), draw(500, 500)

    def step():
        matrix_product.times(x, W, backend=backend)
        matrix_product.times_transposed(x, W, backend=backend)
        matrix_product.outer(x, x, dW, backend=backend)

    found = split.measure(step)
    assert found["products"] > 0.8 * found["seconds"]
    assert found["calls"] == 3
    assert found["layers"] == found["kernels"] == 0


@compiled
def test_a_kernel_is_a_kernel():
    a = draw(1000, 784)
    found = split.measure(lambda: bias_activation.forward(a, None, "tanh", backend="native"))
    assert found["kernels"] > 0.8 * found["seconds"]
    assert found["products"] == found["layers"] == 0


@compiled
def test_a_compiled_layer_has_its_products_inside():
    x, W, b = draw(20, 784), draw(784, 400), draw(400)

    def step():
        y, saved = dense.forward(x, W, b, "tanh", backend="native")
        dense.backward(y, saved, dW=np.empty_like(W), db=np.empty_like(b), backend="native")

    found = split.measure(step)
    assert found["layers"] > 0.5 * found["seconds"]
    assert found["calls"] == 2
    assert 0.2 * found["layers"] < found["products_of_layers"] < 1.5 * found["layers"]


@unix
def test_parts_sum_up_and_nothing_stays_wrapped():
    before = np.matmul, matrix_product.reference.times
    found = split.measure(lambda: np.matmul(draw(50, 50), draw(50, 50)))
    parts = [*split.KINDS, "python"]
    assert sum(found[name] for name in parts) == pytest.approx(found["seconds"])
    with pytest.raises(ZeroDivisionError):
        split.measure(lambda: 1 / 0)
    assert (np.matmul, matrix_product.reference.times) == before


@linux
def test_fresh_large_arrays_are_page_faults():
    kept = np.empty(64 * MB, np.uint8)  # beyond what malloc keeps
    fresh = split.measure(lambda: np.ones(64 * MB, np.uint8))
    again = split.measure(lambda: kept.fill(1))
    pages = 64 * MB / 4096
    assert fresh["page_faults"] >= pages / 512  # they may be huge ones
    assert again["page_faults"] < fresh["page_faults"] / 4
    assert again["system"] < fresh["system"]


# -- memory --------------------------------------------------------------------------------


def peak(tmp_path, make):
    np.savez(tmp_path / "inputs.npz", x=draw(2, MB))  # 8 MB
    return {name: n / MB for name, n in memory.peak(make, str(tmp_path / "inputs.npz")).items()}


@linux
def test_what_a_step_allocates_and_frees_is_its_peak(tmp_path):
    keep_memory()  # freed memory that is kept for later is not counted
    found = peak(tmp_path, lambda a: lambda: (a, np.ones(64 * MB, np.uint8)))
    assert 60 < found["step"] < 72
    assert 60 < found["added"] < 84
    assert found["total"] > found["added"]


@linux
def test_what_a_step_keeps_is_not_of_the_step(tmp_path):
    def make(a):
        kept = [a]
        return lambda: kept[1:] or kept.append(np.ones(64 * MB, np.uint8))

    found = peak(tmp_path, make)
    assert found["step"] < 8
    assert 60 < found["added"] < 84


@linux
def test_inputs_are_counted_for_nobody(tmp_path):
    used = peak(tmp_path, lambda a: a["x"].sum)
    copied = peak(tmp_path, lambda a: a["x"].copy().sum)
    assert abs(used["added"] - copied["added"]) < 4


# -- in a report ---------------------------------------------------------------------------


@linux
def test_a_training_step_has_both_and_others_have_none(fake):
    settings = Settings(
        peers=("torch", "jax"), backend="numpy", threads=(1,), rounds=1, accept_busy=True
    )
    trains, agrees = run([FOUND["trains"], FOUND["agrees"]], settings)
    assert trains.memory.keys() == trains.blocks.keys()
    assert all(m["total"] > m["step"] for m in trains.memory.values())
    assert (trains.split is not None) == status("native").available
    assert (agrees.memory, agrees.split) == ({}, None)
    entry = report.record(trains)
    assert (entry["training"], entry["memory"]) == (True, trains.memory)
    text = markdown.markdown([entry, report.record(agrees)], trains.columns, report.conditions({}))
    (section,) = (part for part in text.split("#") if part.startswith(" Peak memory"))
    row = section.splitlines()[-2].split(" | ")
    assert row[0] == "| trains"
    assert len(row) == 1 + len(trains.memory)
    assert ("Where the time of our training step goes" in text) == (trains.split is not None)


def test_the_split_is_measured_once(fake, monkeypatch):
    monkeypatch.setattr(alone, "memories", lambda *_, **__: {})
    monkeypatch.setattr(alone, "split", lambda *_, **__: {"error": "no"})
    settings = Settings(backend="numpy", threads=(1, 2), rounds=1, accept_busy=True)
    assert [one.split for one in run([FOUND["trains"]], settings)] == [{"error": "no"}, None]


@linux
def test_what_fails_is_named(fake, tmp_path):
    found = FOUND["one_fails"]
    np.savez(tmp_path / "inputs.npz", **found.case.inputs(np.random.default_rng(0)))
    where = {"module": found.module, "file": found.file, "name": "one_fails"}
    where["inputs"] = str(tmp_path / "inputs.npz")
    columns = [Implementation(name, name, name, False) for name in ("torch", "jax")]
    memories = alone.memories(columns, 1, sys.executable, **where)
    assert memories["torch"] == {"error": "RuntimeError: no such thing here"}
    assert memories["jax"].keys() == {"total", "added", "step"}
