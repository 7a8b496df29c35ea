"""Threads of BLAS and of the kernels, in a process where there are two to begin with."""

import os
import subprocess
import sys

import numpy as np
import pytest

import backhand as bh
from backhand.kernels import bias_activation
from backhand.threads import thread_counts

PROGRAM = """
import numpy as np
np.ones((2, 2)) @ np.ones((2, 2))
import backhand as bh
from backhand.threads import blas_threads, thread_counts

def counts():
    found = thread_counts()
    return [found.pop("native", 1), found.pop("numba"), *found.values()]

print("at first", counts())
with blas_threads(1):
    print("inside", counts())
bh.set_threads(numba=2)
print("numba", counts())
bh.set_threads(native=2)
print("native", counts())
with blas_threads(2):
    print("inside", counts())
print("again", counts())
bh.set_threads(blas=2)
print("blas", counts())
bh.set_threads(parts=2)
print("parts", counts())
bh.set_threads(blas=1, parts=1)
print("one", counts())
"""


def test_one_pool_at_most_has_several_threads():
    two = {"OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **two},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    native = 2 if bh.backends()["native"].available else 1
    assert done.stdout.splitlines() == [
        "at first [1, 1, 2, 1]",
        "inside [1, 1, 1, 1]",
        "numba [1, 2, 1, 1]",
        f"native [{native}, 1, 1, 1]",
        "inside [1, 1, 2, 1]",
        f"again [{native}, 1, 1, 1]",
        "blas [1, 1, 2, 1]",
        "parts [1, 1, 1, 2]",
        "one [1, 1, 1, 1]",
    ]


def test_wrong_counts_are_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        bh.set_threads(blas=0)
    with pytest.raises(ValueError, match="blas=2 and native=2 would wait for each other"):
        bh.set_threads(blas=2, native=2)
    with pytest.raises(ValueError, match="at most 256, got 100000"):
        bh.set_threads(numba=100_000)
    for wrong in (2.5, "2", True):
        with pytest.raises(TypeError, match=f"must be an int, got {wrong!r}"):
            bh.set_threads(numba=wrong)


@pytest.fixture
def restored():
    before = thread_counts()
    yield
    bh.set_threads(**{name: before.get(name, 1) for name in ("native", "numba")})


@pytest.mark.parametrize("backend", ["native", "numba"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_share_the_rows_and_give_the_same_result(backend, dtype, restored):
    if not bh.backends()[backend].available:
        pytest.skip(bh.backends()[backend].reason)
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((1001, 333)).astype(dtype), rng.standard_normal(333).astype(dtype)
    results = []
    for threads in (1, 2, 3, 2):
        bh.set_threads(**{backend: threads})
        y, saved = bias_activation.forward(a, b, "tanh", backend=backend)
        results.append((y, *bias_activation.backward(a, saved, backend=backend)))
    for other in results[1:]:
        assert np.array_equal(results[0][0], other[0])
        assert np.array_equal(results[0][1], other[1])
        assert np.allclose(results[0][2], other[2], rtol=1e-6)
    for x, y in zip(results[1], results[3], strict=True):
        assert np.array_equal(x, y)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_pool_works_in_a_forked_process_and_from_several_threads():
    if not bh.backends()["native"].available:
        pytest.skip(bh.backends()["native"].reason)
    program = """
import os, threading
import numpy as np
import backhand as bh
from backhand.kernels import bias_activation

bh.set_threads(native=2)
a = np.random.default_rng(0).standard_normal((500, 400))
right = np.tanh(a)

def work(results):
    y = bias_activation.forward(a, None, "tanh", backend="native")[0]
    results.append(np.allclose(y, right, rtol=1e-14))

found = []
threads = [threading.Thread(target=work, args=(found,)) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
child = os.fork()
if child == 0:
    work(found)
    os._exit(0 if len(found) == 9 and all(found) else 1)
print(os.waitpid(child, 0)[1], len(found), all(found))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["0", "8", "True"]


def run_with_limits(program):
    """Its output; the program may limit its own address space to used() + some bytes."""
    if not bh.backends()["native"].available:
        pytest.skip(bh.backends()["native"].reason)
    head = """
import resource
import numpy as np
import backhand as bh
from backhand.kernels import adam, bias_activation

def used():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()

def limit(size):
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (size, hard))

STACK = 8 << 20
a = np.random.default_rng(0).standard_normal((4, 2_000_000)).astype(np.float32)
"""
    done = subprocess.run(
        ["sh", "-c", 'ulimit -S -s 8192; exec "$@"', "sh", sys.executable, "-c", head + program],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout.split()


def assert_refused_then_done(found):
    """With too little memory and with enough; a wrong result would be another word."""
    assert found[0] == "refused"
    assert found[-1] == "done"
    assert set(found) == {"refused", "done"}


only_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")


@only_linux
def test_threads_that_cannot_be_made_are_done_without():
    found = run_with_limits("""
right = None
for stacks in (None, 0, 1, 2, None):
    state = [a[i].copy() for i in range(4)]
    state[3] **= 2
    bh.set_threads(native=1 if right is None else 5 + (stacks or 0))
    if stacks is not None:
        limit(used() + stacks * STACK + STACK // 2)
    adam.update(*state, step=1, lr=0.1, beta1=0.9, beta2=0.99, eps=1e-3, backend="native")
    limit(resource.RLIM_INFINITY)
    right = right or state
    threads = len(list(__import__("os").scandir("/proc/self/task")))
    print(threads, all(np.array_equal(x, y) for x, y in zip(state, right)))
""")
    assert found[1::2] == ["True"] * 5
    counts = [int(n) for n in found[::2]]
    assert counts[1] - counts[0] == 0
    assert counts[2] - counts[0] == 1
    assert counts[4] - counts[0] >= 4


@only_linux
def test_memory_that_ends_on_any_thread_is_an_error():
    found = run_with_limits("""
bh.set_threads(native=2)
_, saved = bias_activation.forward(a, np.zeros_like(a[0]), "tanh", backend="native")
right = bias_activation.backward(a, saved, backend="native")  # and the pool is there
for size in range(0, 200, 4):
    limit(used() + (size << 20))
    try:
        same = bias_activation.backward(a, saved, backend="native")
        print("done" if all(np.array_equal(x, y) for x, y in zip(same, right)) else "wrong")
        del same
    except MemoryError:
        print("refused")
    limit(resource.RLIM_INFINITY)
""")
    assert_refused_then_done(found)


@only_linux
def test_memory_that_ends_in_some_phase_is_an_error_and_the_next_call_right():
    found = run_with_limits("""
from backhand.kernels import dense
from backhand.threads import blas_threads
x, W = a[0, :300_000].reshape(1000, 300), np.full((300, 300), 1 / 300, np.float32)
with blas_threads(1):
    bh.set_threads(native=2)
    layers = (x, (W, W), (W[0], W[0]), ("tanh", "tanh"))
    y, saved = dense.forward_layers(*layers, backend="native")
    right = dense.backward_layers(y, saved, backend="native")  # and the pool is there
    for size in range(0, 40):
        limit(used() + (size << 18))
        try:
            same = dense.backward_layers(y, saved, backend="native")
            ok = np.array_equal(same[0], right[0]) and np.array_equal(same[1], right[1])
            print("done" if ok else "wrong")
            del same
        except MemoryError:
            print("refused")
        limit(resource.RLIM_INFINITY)
""")
    assert_refused_then_done(found)


def test_an_evaluation_gives_the_threads_of_blas_to_the_compiled_kernels():
    """In a process whose BLAS has two, as one may be all that a test run has."""
    if not bh.backends()["native"].available:
        pytest.skip(bh.backends()["native"].reason)
    program = """
import backhand as bh
from backhand.threads import evaluation_threads, thread_counts

def counts():
    found = thread_counts()
    return found["openblas"], found["native"]

seen = [counts()]
with evaluation_threads(chain=False):
    seen.append(counts())
with evaluation_threads(chain=True):
    seen.append(counts())
with bh.use_backend("numpy"), evaluation_threads(chain=False):
    seen.append(counts())
print([*seen, counts()])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    left = (2, 1)
    assert done.stdout.strip() == str([left, (1, 2), left, left, left])
