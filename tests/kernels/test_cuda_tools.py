"""The launcher: what it refuses, in words, before a kernel gets a wrong byte."""

import sys
import types

import numpy as np
import pytest

from backhand.backend import backends
from backhand.csrc import sources
from backhand.kernels import bias_activation, emulator
from backhand.kernels.cuda_tools import launch
from tests.kernels.harness import needs

OP, KERNEL = "bias_activation", "bias_activation_forward"
GRID, BLOCK = (1, 4), 32


@pytest.fixture(autouse=True)
def _here():
    needs("emulated")


def arguments(**changes):
    """y, a, b, rows, cols, f"""
    right = {
        "y": np.zeros((4, 5)), "a": np.ones((4, 5)), "b": np.ones(5), "rows": 4, "cols": 5, "f": 0
    }  # fmt: skip
    assert set(changes) <= set(right)
    return tuple((right | changes).values())


def test_what_is_right_runs_and_null_is_allowed_for_an_array():
    y = np.zeros((4, 5))
    launch(OP, KERNEL, GRID, BLOCK, arguments(y=y))
    assert (y == 2).all()
    launch(OP, KERNEL, GRID, BLOCK, arguments(y=y, b=None))
    assert (y == 1).all()
    launch(OP, KERNEL, GRID, BLOCK, arguments(y=y, rows=np.int64(2), f=np.int32(3)))
    single = np.zeros((4, 5), np.float32)
    few = arguments(y=single, a=np.ones((4, 5), np.float32), b=np.ones(5, np.float32))
    launch(OP, KERNEL, GRID, BLOCK, few)
    assert (single == 2).all()


WRONG = {
    "a number of floats": ({"rows": 4.0}, TypeError, "rows must be an integer, got float"),
    "a boolean": ({"f": True}, TypeError, "f must be an integer, got bool"),
    "too large": ({"cols": 2**31}, ValueError, "cols must fit in int32, got 2147483648"),
    "too small": ({"cols": -(2**31) - 1}, ValueError, "cols must fit in int32, got -2147483649"),
    "an array for a number": ({"f": np.zeros(1)}, TypeError, "f must be an integer, got ndarray"),
    "a number for an array": ({"a": 1.0}, TypeError, "a must be an array, got float"),
    "a list": ({"b": [1.0]}, TypeError, "b must be an array, got list"),
    "two types": (
        {"a": np.ones((4, 5), np.float32)}, TypeError, "a is float32 but y is float64; a kernel"
    ),
    "integers": ({"y": np.zeros((4, 5), int)}, TypeError, "y must be float32 or float64"),
    "strides": (
        {"a": np.ones((5, 4)).T}, ValueError, r"a must be contiguous, got strides \(8, 32\)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_arguments_are_named(what):
    changes, error, words = WRONG[what]
    with pytest.raises(error, match=f"^{KERNEL}: {words}"):
        launch(OP, KERNEL, GRID, BLOCK, arguments(**changes))


def test_the_number_of_arguments():
    words = r"takes 6 arguments \(y, a, b, rows, cols, f\), got 5"
    with pytest.raises(TypeError, match=words):
        launch(OP, KERNEL, GRID, BLOCK, arguments()[:-1])


@pytest.mark.parametrize(
    ("grid", "block", "words"),
    [
        (1, 1025, r"a block has 1 to 1024 threads, got \(1025, 1, 1\)"),
        (1, 0, r"a block has 1 to 1024 threads, got \(0, 1, 1\)"),
        ((1, 65536), 32, "a grid has at most"),
        (2**31, 32, "a grid has at most"),
        (-1, 32, "grid must be one to three sizes, got -1"),
        (1.0, 32, "float"),
        (1, (1, 1, 1, 1), "block must be one to three sizes"),
        (1, (1, 1, 65), r"a block has 1 to 1024 threads, got \(1, 1, 65\)"),
    ],
)
def test_wrong_sizes_of_a_launch(grid, block, words):
    with pytest.raises((ValueError, TypeError), match=words):
        launch(OP, KERNEL, grid, block, arguments())


def test_a_block_is_no_larger_than_the_launch_bounds():
    x = np.ones((4, 5))
    with pytest.raises(ValueError, match=r"a block has 1 to 256 threads, got \(32, 9, 1\)"):
        launch(OP, "bias_activation_sum", 1, (32, 9), (np.zeros((1, 5)), x, 4, 5))


def test_shared_memory_is_limited():
    with pytest.raises(ValueError, match=r"shared must lie in 0 .. 49152 bytes, got 49153"):
        launch(OP, KERNEL, GRID, BLOCK, arguments(), shared=49153)


def test_an_empty_grid_launches_nothing_but_is_checked():
    y = np.full((4, 5), 7.0)
    launch(OP, KERNEL, (0, 4), BLOCK, arguments(y=y))
    assert (y == 7).all()
    with pytest.raises(TypeError, match="rows must be an integer"):
        launch(OP, KERNEL, 0, BLOCK, arguments(rows=1.5))


class Device:
    """An array on a GPU, as far as the launcher looks at it."""

    __cuda_array_interface__ = {}
    dtype, ndim, shape = np.dtype(np.float64), 2, (4, 5)
    flags = types.SimpleNamespace(c_contiguous=True)

    def __init__(self, device):
        self.device = types.SimpleNamespace(id=device)


def test_arrays_in_different_places_are_refused():
    words = "arrays in different places: y on the host, a on device 0, b on the host"
    with pytest.raises(ValueError, match=words):
        launch(OP, KERNEL, GRID, BLOCK, arguments(a=Device(0)))
    words = "arrays in different places: y on device 1, a on device 0, b on device 1"
    with pytest.raises(ValueError, match=words):
        launch(OP, KERNEL, GRID, BLOCK, arguments(y=Device(1), a=Device(0), b=Device(1)))


def test_the_emulator_has_what_the_texts_say():
    """What the compiler made of each parameter list, and what the launcher reads in it."""
    found = emulator.library().signatures
    expected = {
        (name, real): kernel.signature(real)
        for op in sources.ops()
        for name, kernel in sources.kernels(op).items()
        for real in sources.REALS
    }
    assert found == expected


@pytest.mark.parametrize(
    "text",
    [
        "extern __global__ void op_k(int n) {}",
        '__global__ void op_k(int n) {} extern "C" __global__ void op_l(int n) {}',
        'extern "C" __global__ void op_k(size_t n) {}',
        'extern "C" __global__ void op_k(const int n) {}',
        'extern "C" __global__ void op_k(REAL** x) {}',
        'extern "C" __global__ void op_k(int) {}',
        'extern "C" __global__ void other_k(int n) {}',
        "// no kernel",
    ],
)
def test_a_kernel_that_cannot_be_read_is_refused(tmp_path, text):
    (tmp_path / "op").mkdir()
    (tmp_path / "op" / "kernel.cu").write_text(text)
    with pytest.raises(ValueError, match=r"^op/kernel.cu: "):
        sources.kernels("op", tmp_path)


def test_parameters_are_read(tmp_path):
    (tmp_path / "op").mkdir()
    (tmp_path / "op" / "kernel.cu").write_text(
        'extern "C" __global__ void __launch_bounds__(64) op_k(\n'
        "    REAL* __restrict__ y, const REAL *x,  // with a comment\n"
        "    const unsigned int* __restrict__ i, unsigned long long n, REAL s, long long m) {}\n"
    )
    (kernel,) = sources.kernels("op", tmp_path).values()
    assert (kernel.name, kernel.threads) == ("op_k", 64)
    assert kernel.signature("double") == (
        "double*, const double*, const unsigned int*, unsigned long long, double, long long"
    )
    assert [p.name for p in kernel.parameters] == ["y", "x", "i", "n", "s", "m"]


def test_headers_are_pasted_once_with_their_lines():
    text = sources.text_for_nvrtc(OP)
    assert '#include "' not in text
    assert "#pragma once" not in text
    for place in ("common/macros.h", "common/vec_math.h", "bias_activation/kernel.cu"):
        assert text.count(f'#line 1 "{place}"') == 1
        source = (sources.ROOT / place).read_text().splitlines()
        body = text.split(f'#line 1 "{place}"\n')[1].splitlines()
        assert body[0] == source[0]


def test_an_include_under_a_condition_is_refused(tmp_path):
    (tmp_path / "op").mkdir()
    (tmp_path / "op" / "kernel.cu").write_text('#ifdef X\n#include "other.h"\n#endif\n')
    with pytest.raises(ValueError, match=r"op/kernel.cu:2: an include under a condition"):
        sources.text_for_nvrtc("op", tmp_path)


def test_a_missing_emulator_has_its_own_reason(monkeypatch):
    from backhand import backend

    def missing():
        raise ImportError("No module named 'backhand._emulated'")

    monkeypatch.setattr(emulator, "library", missing)
    backend.status.cache_clear()
    try:
        available, reason = backends()["emulated"]
    finally:
        backend.status.cache_clear()
    assert not available
    assert "the emulator is missing (No module named" in reason
    assert "reinstall with BACKHAND_NATIVE=1" in reason


def test_a_missing_cupy_and_a_missing_gpu_have_their_reasons(monkeypatch):
    from backhand import backend

    def no_driver():
        raise RuntimeError("no driver")

    def cuda():
        backend.status.cache_clear()
        try:
            return backends()["cuda"]
        finally:
            backend.status.cache_clear()

    monkeypatch.setitem(sys.modules, "cupy", None)
    assert cuda() == backend.Status(False, cuda().reason)
    assert "CuPy is missing" in cuda().reason
    assert "pip install 'backhand[cuda12]'" in cuda().reason
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "99"
    cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=no_driver))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert cuda() == backend.Status(False, "CuPy 99 finds no GPU (no driver)")
    cupy.cuda.runtime.getDeviceCount = lambda: 0
    assert cuda() == backend.Status(False, "CuPy 99 finds no GPU")
    cupy.cuda.runtime.getDeviceCount = lambda: 2
    assert cuda().available


def test_the_order_must_be_a_seed():
    with pytest.raises(ValueError, match="must not be negative, got -1"), emulator.order(-1):
        pass


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("rows", [1, 255, 256, 257, 70_000])
def test_column_sums_of_many_rows(rows, order):
    rng = np.random.default_rng(0)
    dy = rng.standard_normal((rows, 2)).astype(np.float32)
    _, saved = bias_activation.forward(dy, dy[0], "identity", backend="numpy")
    with emulator.order(order):
        _, db = bias_activation.backward(dy, saved, backend="emulated")
    exact = dy.astype(np.float64).sum(axis=0)
    assert np.abs(db - exact).max() <= 1e-6 * np.abs(dy).sum(axis=0).max()


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_one_block_takes_many_tiles(order):
    """Where there are more tiles than blocks: a tile's sums are read before the next ones come."""
    x = np.random.default_rng(1).standard_normal((1500, 70))
    sums = np.empty((6, 70))
    with emulator.order(order):
        launch(OP, "bias_activation_sum", (3, 1), (32, 8), (sums, x, 1500, 70))
    padded = np.concatenate([x, np.zeros((36, 70))]).reshape(6, 256, 70)
    np.testing.assert_allclose(sums, padded.sum(axis=1), rtol=1e-12, atol=1e-12)
