"""Embedding: long sums, threads, sums that are there already, ids out of range."""

import numpy as np
import pytest

import backhand as bh
from backhand.kernels import embedding
from backhand.kernels.embedding import OP
from backhand.threads import thread_counts
from tests.kernels.harness import needs, on_host

rng = np.random.default_rng(0)
compiled = pytest.mark.parametrize("backend", ["numba", "native"])


@pytest.fixture(params=on_host(OP))
def backend(request):
    needs(request.param)
    return request.param


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int32, np.uint64])
def test_ids_of_any_integer_type(backend, kind):
    W, ids = rng.standard_normal((7, 3)), np.array([[6, 0, 6], [2, 2, 5]])
    y, saved = embedding.forward(W, ids.astype(kind), backend=backend)
    assert np.array_equal(y, W[ids])
    dW = embedding.backward(np.ones_like(y), saved, backend=backend)
    assert dW.tolist() == [[n] * 3 for n in (1, 0, 2, 0, 0, 1, 2)]


@compiled
def test_a_word_that_occurs_thousands_of_times_keeps_its_digits(backend):
    needs(backend)
    N, D = 20_000, 5
    ids = np.where(np.arange(N) % 5 == 0, 1, 0)
    dy = (1 + rng.random((N, D))).astype(np.float32)
    W = np.full((3, D), 0.3, np.float32)
    exact = W + [dy[ids == v].sum(axis=0, dtype=np.float64) for v in range(3)]
    embedding.add_at(W, ids, dy, backend=backend)
    assert np.allclose(W, exact, rtol=2e-7, atol=0)  # adding one by one loses 1e-5 here


@pytest.mark.equation("embedding.2")
@pytest.mark.parametrize("N", [31, 32, 33, 64, 65, 3000])
@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 5e-7), (np.float64, 1e-15)])
def test_uses_of_a_row_over_many_pieces(dtype, limit, N):
    """Sorted uses are cut in pieces of 32: rows that begin, end, and go on through several."""
    needs("emulated")
    for ids in (np.zeros(N, int), np.arange(N) * 5 // N, rng.integers(0, 3, N)):
        dy = (1 + rng.random((N, 35))).astype(dtype)
        W = np.full((6, 35), 0.3, dtype)
        uses = [dy[ids == v] for v in range(6)]
        exact = W + np.array([u.sum(axis=0, dtype=np.longdouble) for u in uses])
        embedding.add_at(W, ids, dy, backend="emulated")
        assert np.allclose(W, exact, rtol=limit, atol=0)
        assert (W[5] == dtype(0.3)).all()


@compiled
def test_any_number_of_threads_gives_the_same_bits(backend):
    needs(backend)
    ids = np.minimum(rng.geometric(0.01, 3000), 500) - 1
    dy = rng.standard_normal((3000, 70)).astype(np.float32)
    before = thread_counts()[backend]
    found = []
    try:
        for threads in (1, 2, 3):
            bh.set_threads(**{backend: threads})
            W = np.ones((500, 70), np.float32)
            embedding.add_at(W, ids, dy, backend=backend)
            found.append(W)
    finally:
        bh.set_threads(**{backend: before})
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adding_to_a_sum(backend, dtype):
    W = rng.standard_normal((6, 4)).astype(dtype)
    ids, dy = np.array([[3, 0], [3, 5]]), rng.standard_normal((2, 2, 4)).astype(dtype)
    expected = W.copy()
    for v, row in zip(ids.ravel(), dy.reshape(4, 4), strict=True):
        expected[v] += row
    kept = dy.copy(), ids.copy()
    embedding.add_at(W, ids, dy, backend=backend)
    assert np.array_equal(W, expected)
    assert np.array_equal(dy, kept[0])
    assert np.array_equal(ids, kept[1])


def test_the_first_id_out_of_range_is_named(backend):
    W, ids = np.zeros((10, 2)), np.array([[1, 9, 3], [4, 10, -1]])
    with pytest.raises(
        ValueError, match=r"ids must lie in \[0, 10\) \(from W\), got 10 at \[1, 1\]"
    ):
        embedding.forward(W, ids, backend=backend)
    ids[0, 2] = -2
    with pytest.raises(ValueError, match=r"got -2 at \[0, 2\]"):
        embedding.add_at(W, ids, np.zeros((2, 3, 2)), backend=backend)
    assert not W.any()


def test_wrong_arguments_are_named():
    W, ids = np.zeros((10, 2)), np.arange(3)
    with pytest.raises(TypeError, match="ids must be an array of integers"):
        embedding.forward(W, ids.astype(float))
    with pytest.raises(TypeError, match="ids must be integers, got bool"):
        embedding.forward(W, ids > 1)
    with pytest.raises(ValueError, match=r"dy must have shape \(\.\.\., D\)"):
        embedding.add_at(W, ids, np.zeros((4, 2)))
    with pytest.raises(ValueError, match="W must be contiguous"):
        embedding.add_at(W.T.copy().T, ids, np.zeros((3, 2)))
