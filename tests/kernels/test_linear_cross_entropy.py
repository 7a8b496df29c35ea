"""Linear layer and cross-entropy in blocks: many blocks, memory, what is not finite."""

import tracemalloc

import numpy as np
import pytest

from backhand.kernels import linear_cross_entropy, softmax_cross_entropy
from backhand.kernels.linear_cross_entropy import reference
from tests.kernels import harness
from tests.kernels.cases.linear_cross_entropy import CASES
from tests.kernels.harness import agree, needs

BACKENDS = harness.on_host(linear_cross_entropy.OP)
each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
INF, NAN = np.inf, np.nan


@pytest.fixture(params=[(1, 1), (3, 4), (2, 100), (100, 5)], ids=str)
def small_blocks(request, monkeypatch):
    monkeypatch.setattr(reference, "ROWS", request.param[0])
    monkeypatch.setattr(reference, "COLUMNS", request.param[1])


def random(seed, N, H, V, dtype=np.float64):
    rng = np.random.default_rng(seed)
    h, W, b, d_nll = (
        rng.standard_normal(shape).astype(dtype) for shape in ((N, H), (H, V), (V,), (N,))
    )
    return h, W / dtype(np.sqrt(H)), b, rng.integers(0, V, N), d_nll


def in_one_piece(h, W, b, targets, d_nll):
    nll, saved = softmax_cross_entropy.forward(h @ W + b, targets, backend="numpy")
    dx = softmax_cross_entropy.backward(d_nll, saved, backend="numpy")
    return nll, dx @ W.T, h.T @ dx, dx.sum(axis=0)


def in_blocks(h, W, b, targets, d_nll, backend):
    nll, saved = linear_cross_entropy.forward(h, W, b, targets, backend=backend)
    return nll, *linear_cross_entropy.backward(d_nll, saved, backend=backend)


@pytest.mark.equation("linear_cross_entropy.2", "linear_cross_entropy.3")
@each_backend
@each_dtype
def test_many_blocks_give_what_one_gives(dtype, backend, small_blocks):
    needs(backend)
    arrays = random(0, 11, 6, 23, dtype)
    tolerance = 2e-6 if dtype == np.float32 else 1e-14
    exact = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    for found, right in zip(in_blocks(*arrays, backend), in_one_piece(*exact), strict=True):
        assert found.dtype == dtype
        agree(found, right, tolerance, floor=3.0)


@pytest.mark.equation("linear_cross_entropy.5", "linear_cross_entropy.6", "linear_cross_entropy.7")
@each_backend
def test_gradient_over_many_blocks(backend, small_blocks):
    needs(backend)
    (case,) = CASES
    sizes = {"B": 2, "T": 3, "H": 3, "V": 11}
    harness.check_gradient(case, np.random.default_rng(5), sizes, backend)


@each_backend
@each_dtype
def test_blocks_of_the_usual_size(dtype, backend):
    """More than one in both directions, with remainders; sums of a thousand terms and more."""
    needs(backend)
    N, V = reference.ROWS + 9, 2 * reference.COLUMNS + 3
    h, W, b, targets, d_nll = random(1, N, 3, V, dtype)
    d_nll = abs(d_nll)
    exact = [a.astype(np.float64) for a in (h, W, b)]
    right = in_one_piece(*exact, targets, d_nll.astype(np.float64))
    tolerance = 4e-6 if dtype == np.float32 else 1e-13
    for found, r in zip(in_blocks(h, W, b, targets, d_nll, backend), right, strict=True):
        agree(found, r, tolerance)


@pytest.mark.filterwarnings("error")
@each_backend
@each_dtype
def test_logits_that_are_not_finite(dtype, backend, small_blocks):
    """As in softmax_cross_entropy, in whichever block they are."""
    needs(backend)
    x = np.random.default_rng(2).standard_normal((7, 37))
    x[0, 20] = NAN
    x[1, 3] = INF
    x[2] = -INF
    x[3, 30] = -INF
    x[4, :] = -INF
    x[4, 30] = 2
    x[5, :30] = -INF
    x = x.astype(dtype)
    targets, one = np.full(7, 30), np.ones(7, dtype)
    right, whole = softmax_cross_entropy.forward(x, targets, backend="numpy")
    right_dx = softmax_cross_entropy.backward(one, whole, backend="numpy")
    h, W = np.ones((1, 1), dtype), np.zeros((1, 37), dtype)
    for row in range(7):  # each by itself: its logits are b
        nll, saved = linear_cross_entropy.forward(h, W, x[row], targets[:1], backend=backend)
        _, _, db = linear_cross_entropy.backward(one[:1], saved, backend=backend)
        np.testing.assert_allclose(nll, right[row : row + 1], rtol=1e-6)
        np.testing.assert_allclose(db, right_dx[row], rtol=1e-5, atol=1e-7)


@each_backend
def test_what_is_not_trained_is_none(backend):
    needs(backend)
    h, W, b, targets, d_nll = random(3, 5, 4, 9)
    _, saved = linear_cross_entropy.forward(h, W, b, targets, backend=backend)
    dh, dW, db = linear_cross_entropy.backward(d_nll, saved, backend=backend)
    same_dh, no_dW, same_db = linear_cross_entropy.backward(
        d_nll, saved, need_W=False, backend=backend
    )
    assert no_dW is None
    assert dW.any()
    assert np.array_equal(dh, same_dh)
    assert np.array_equal(db, same_db)


@each_backend
def test_peak_memory(backend):
    """Blocks and their products, never the logits: of float32, with 4096 rows and 9000 classes."""
    needs(backend)
    N, H, V = 4096, 64, 9000
    h, W, b, targets, d_nll = random(4, N, H, V, np.float32)
    in_blocks(h[:2], W, b, targets[:2], d_nll[:2], backend)  # compiles, where that is done late
    tracemalloc.start()
    nll, dh, dW, db = in_blocks(h, W, b, targets, d_nll, backend)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    held = sum(a.nbytes for a in (nll, dh, dW, db))
    rows, columns = reference.ROWS, reference.COLUMNS
    block, products = 4 * rows * columns, 4 * H * (rows + columns)
    copies = 5 if backend == "numpy" else 1  # the reference makes temporary arrays
    bound = held + copies * block + products + 64 * (N + V)
    assert peak < bound
    assert bound - held < 4 * N * V * (0.2 if backend == "numpy" else 0.05)


def test_wrong_arguments_say_what_is_wrong():
    op = linear_cross_entropy
    h, W, b, targets, _ = random(5, 4, 3, 6)
    targets[2] = 6
    with pytest.raises(ValueError, match=r"targets must lie in \[0, V\) with V = 6, got 6 at \(2,"):
        op.forward(h, W, b, targets)
    targets[2] = 5
    with pytest.raises(ValueError, match=r"W must have shape \(H, V\) with H = 3 \(from h\)"):
        op.forward(h, W[:2], b, targets)
    with pytest.raises(ValueError, match=r"b must have shape \(V\) with V = 6 \(from W\)"):
        op.forward(h, W, b[:5], targets)
    with pytest.raises(TypeError, match="targets must be an array of integers"):
        op.forward(h, W, b, h[:, 0])
    with pytest.raises(ValueError, match="there must be a class or more"):
        op.forward(h[:0], W[:, :0], b[:0], targets[:0])
