"""Softmax cross-entropy: large vocabularies, rows far out, memory, the place of the result."""

import subprocess
import sys

import numpy as np
import pytest
import sympy
from scipy.special import log_softmax, softmax

from backhand.kernels import softmax_cross_entropy
from tests.kernels.harness import needs, on_host

BACKENDS = on_host(softmax_cross_entropy.OP)
each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
INF, NAN = np.inf, np.nan


@pytest.mark.equation("softmax_cross_entropy.3")
def test_the_gradient_in_symbols():
    x = sympy.symbols("x0:3", real=True)
    total = sum(sympy.exp(v) for v in x)
    for t in range(3):
        nll = sympy.log(total) - x[t]
        for v in range(3):
            right = sympy.exp(x[v]) / total - (1 if v == t else 0)
            assert sympy.simplify(sympy.diff(nll, x[v]) - right) == 0


@pytest.mark.equation("softmax_cross_entropy.1", "softmax_cross_entropy.2")
@each_backend
@each_dtype
@pytest.mark.parametrize("V", [1, 2, 7, 8, 1023, 20_011])
def test_any_vocabulary(V, dtype, backend):
    """Like logits, so that the sums have as many terms as there are classes."""
    needs(backend)
    rng = np.random.default_rng(0)
    logits = (rng.standard_normal((5, V)) + 30).astype(dtype)
    targets = np.array([0, V - 1, V // 2, V // 3, 0])
    d_nll = rng.standard_normal(5).astype(dtype)
    exact = logits.astype(np.float64)
    nll, saved = softmax_cross_entropy.forward(logits, targets, backend=backend)
    found = softmax_cross_entropy.backward(d_nll, saved, backend=backend)
    tolerance = 2e-6 if dtype == np.float32 else 1e-14
    right = -log_softmax(exact, axis=1)[np.arange(5), targets]
    assert np.abs(nll - right).max() <= tolerance * max(1, right.max())
    p = softmax(exact, axis=1)
    p[np.arange(5), targets] -= 1
    assert np.abs(found - p * d_nll[:, None]).max() <= tolerance


@each_backend
@each_dtype
def test_far_out(dtype, backend):
    needs(backend)
    logits = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0], [-1e4, -1e4, -1e4]], dtype)
    nll, saved = softmax_cross_entropy.forward(logits, np.array([0, 1, 2]), backend=backend)
    assert nll.tolist()[:2] == [0, 2e4]
    assert np.isclose(nll[2], np.log(3), rtol=1e-6)
    found = softmax_cross_entropy.backward(np.ones(3, dtype), saved, backend=backend)
    right = [[0, 0, 0], [1, -1, 0], [1 / 3, 1 / 3, -2 / 3]]
    assert np.allclose(found, right, rtol=1e-6)


@pytest.mark.filterwarnings("error")
@each_backend
@each_dtype
@pytest.mark.parametrize("at", [0, 1, 8, 20, 36])
def test_rows_without_a_distribution(at, dtype, backend):
    """One bad logit makes its own row NaN; -inf alone does not."""
    needs(backend)
    logits = np.random.default_rng(1).standard_normal((6, 37))
    logits[0, at] = NAN
    logits[1, at] = INF
    logits[2] = -INF
    logits[3, at] = -INF
    logits[4, :] = -INF
    logits[4, at] = 2
    targets = np.full(6, at)
    logits = logits.astype(dtype)
    nll, saved = softmax_cross_entropy.forward(logits, targets, backend=backend)
    found = softmax_cross_entropy.backward(np.ones(6, dtype), saved, backend=backend)
    assert np.isnan(nll[:3]).all()
    assert np.isnan(found[:3]).all()
    assert nll[3] == INF
    assert found[3, at] == -1
    assert np.isclose(found[3].sum(), 0, atol=1e-6)
    assert nll[4] == 0
    assert not found[4].any()
    assert np.isfinite(nll[5])
    assert np.isfinite(found[5]).all()


@each_backend
@each_dtype
def test_the_gradient_where_it_is_wanted(dtype, backend):
    needs(backend)
    rng = np.random.default_rng(2)
    logits = rng.standard_normal((3, 4, 50)).astype(dtype)
    targets, d_nll = rng.integers(0, 50, (3, 4)), rng.standard_normal((3, 4)).astype(dtype)
    _, saved = softmax_cross_entropy.forward(logits, targets, backend=backend)
    pure = softmax_cross_entropy.backward(d_nll, saved, backend=backend)
    place = np.full_like(logits, NAN)
    assert softmax_cross_entropy.backward(d_nll, saved, place, backend=backend) is place
    assert np.array_equal(place, pure)
    assert softmax_cross_entropy.backward(d_nll, saved, out=logits, backend=backend) is logits
    assert np.array_equal(logits, pure)


@each_backend
def test_rows_that_do_not_count(backend):
    needs(backend)
    logits = np.random.default_rng(3).standard_normal((4, 9))
    _, saved = softmax_cross_entropy.forward(logits, np.array([1, 0, 3, 0]), backend=backend)
    found = softmax_cross_entropy.backward(np.array([1.0, 0, 2, 0]), saved, backend=backend)
    assert not found[[1, 3]].any()
    assert found[[0, 2]].all()


@each_backend
@pytest.mark.parametrize("kind", ["i1", "u1", "i4", "u4", "i8", "u8"])
def test_integers_of_any_type(kind, backend):
    needs(backend)
    logits, targets = np.random.default_rng(4).standard_normal((4, 9)), np.array([8, 0, 3, 3])
    right, _ = softmax_cross_entropy.forward(logits, targets, backend=backend)
    found, saved = softmax_cross_entropy.forward(logits, targets.astype(kind), backend=backend)
    assert np.array_equal(found, right)
    assert saved.targets.dtype == kind


MEMORY = """
import sys
import numpy as np
from backhand.kernels import softmax_cross_entropy as op
backend, in_place = sys.argv[1], sys.argv[2] == "in place"

def memory(name):
    with open("/proc/self/status") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

def step(rows, V):
    logits = np.random.default_rng(0).random((rows, V), dtype=np.float32)
    targets, d_nll = np.zeros(rows, int), np.ones(rows, np.float32)
    before = memory("VmRSS")
    nll, saved = op.forward(logits, targets, backend=backend)
    gradient = op.backward(d_nll, saved, logits if in_place else None, backend=backend)
    held = 0 if in_place else gradient.nbytes
    return (memory("VmHWM") - before - held) / logits.nbytes

step(10, 10)  # loads what there is to load
print(step(1000, 20_000))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of the process from /proc")
@pytest.mark.parametrize("how", ["fresh", "in place"])
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "numpy"])
def test_memory_beyond_logits_and_gradient(backend, how, tmp_path):
    """At most a tenth of one copy of the logits (80 MB here)."""
    needs(backend)
    command = [sys.executable, "-c", MEMORY, backend, how]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.1


def test_wrong_arguments_say_what_is_wrong():
    op = softmax_cross_entropy
    logits, targets = np.zeros((2, 3, 5)), np.zeros((2, 3), int)
    for wrong in (-1, 5):
        targets[1, 2] = wrong
        message = rf"targets must lie in \[0, V\) with V = 5, got {wrong} at \(1, 2\)"
        with pytest.raises(ValueError, match=message):
            op.forward(logits, targets)
    targets[...] = [[0, 0, 7], [9, 0, 0]]
    with pytest.raises(ValueError, match=r"got 7 at \(0, 2\)"):
        op.forward(logits, targets)
    with pytest.raises(ValueError, match="there must be a class or more"):
        op.forward(np.zeros((0, 0)), np.zeros(0, int))
    with pytest.raises(TypeError, match="targets must be an array of integers, got float64"):
        op.forward(logits, np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"targets must have shape \(...\) with ... = \(2, 3\)"):
        op.forward(logits, np.zeros(6, int))
    _, saved = op.forward(logits, np.zeros((2, 3), int))
    d_nll = np.ones((2, 3))
    with pytest.raises(ValueError, match="out must have shape"):
        op.backward(d_nll, saved, np.zeros((6, 5)))
    with pytest.raises(TypeError, match="out is float32 but"):
        op.backward(d_nll, saved, np.zeros((2, 3, 5), np.float32))
    frozen = np.zeros((2, 3, 5))
    frozen.flags.writeable = False
    for out in (frozen, np.zeros((2, 3, 10))[..., ::2]):
        with pytest.raises(ValueError, match="out must be contiguous and writeable"):
            op.backward(d_nll, saved, out)
