"""Gradients of a layer, written into arrays that the caller gives."""

import numpy as np
import pytest

import backhand as bh
from backhand.kernels import bias_activation, dense
from backhand.threads import blas_threads
from tests.kernels import harness

BACKENDS = harness.on_host(dense.OP)


@pytest.fixture
def layer():
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in ((4, 5), (5, 3), (3,), (4, 3))]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", ["tanh", "identity"])
def test_gradients_are_written_where_the_caller_says(layer, backend, activation):
    harness.needs(backend)
    x, W, b, dy = layer
    _, saved = dense.forward(x, W, b, activation, backend=backend)
    right = dense.backward(dy, saved, backend=backend)
    dW, db = np.full((5, 3), np.nan), np.full(3, np.nan)
    found = dense.backward(dy, saved, dW=dW, db=db, backend=backend)
    for a, b in zip(found, right, strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(dW, right[1])
    assert np.array_equal(db, right[2])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dW": np.zeros((3, 5))}, r"dense: dW must be float64 \(5, 3\), got float64 \(3, 5\)"),
        ({"db": np.zeros(3, np.float32)}, r"dense: db must be float64 \(3,\), got float32"),
        ({"dW": np.zeros((3, 5)).T}, "dense: dW must be contiguous and writeable"),
    ],
)
def test_arrays_that_cannot_take_a_gradient_are_refused(layer, given, message):
    x, W, b, dy = layer
    _, saved = dense.forward(x, W, b, "tanh")
    both = {"dW": np.zeros((5, 3)), "db": np.zeros(3)} | given
    for arrays in (given, both, both):  # from the second on C++ may look first
        with pytest.raises(ValueError, match=message):
            dense.backward(dy, saved, **arrays)


def test_cpp_takes_the_usual_call_and_refuses_others(layer):
    harness.needs("native")
    native = dense.OP.implementation("native")
    x, W, b, dy = layer
    with blas_threads(1):
        y, saved = native.unchecked(x, (W,), (b,), ("tanh",))
        dW, db = np.empty_like(W), np.empty_like(b)
        found = native.unchecked_backward(dy, saved, (dW,), (db,), True)
        assert np.array_equal(y, dense.forward(x, W, b, "tanh")[0])
        right = dense.backward(dy, saved)
        for mine, other in zip((found[0], dW, db), right, strict=True):
            assert np.array_equal(mine, other)
        strided = np.repeat(x, 2, axis=-1)[..., ::2]
        unfit = [(strided, W, b), (x[:, 1:], W, b), (x, W[:, 1:].copy(), b), (x, W, b[1:])]
        for arrays in unfit:
            assert native.unchecked(arrays[0], arrays[1:2], arrays[2:], ("tanh",)) is None
        small, short = np.empty((4, 3)), np.empty(2)
        for given in ((small, db), (dW, short), (dW.T, db), (dW.astype("f"), db)):
            assert native.unchecked_backward(dy, saved, given[:1], given[1:], True) is None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", bias_activation.ACTIVATIONS)
def test_a_layer_is_its_product_and_bias_activation(layer, backend, activation):
    """The compiled form has both in place, in loops of their own."""
    harness.needs(backend)
    x, W, b, dy = layer
    right, inner = bias_activation.forward(x @ W, b, activation, backend="numpy")
    y, saved = dense.forward(x, W, b, activation, backend=backend)
    np.testing.assert_allclose(y, right, rtol=1e-12)
    _, _, db = dense.backward(dy, saved, backend=backend)
    _, right_db = bias_activation.backward(dy, inner, backend="numpy")
    np.testing.assert_allclose(db, right_db, rtol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 20, 63, 64, 450])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.24, 0.3])
def test_terms_that_are_zero_may_be_left_out(share, rows, dtype, threads):
    """Of a wide first layer; up to a quarter of x may be something (csrc/dense/sparse.h)."""
    harness.needs("native")
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, 131)) * (rng.random((rows, 131)) < share)
    Ws = [rng.standard_normal(shape) / 8 for shape in ((131, 77), (77, 5))]
    bs = [rng.standard_normal(77), rng.standard_normal(5)]
    dy = rng.standard_normal((rows, 5))
    x, dy, *arrays = (a.astype(dtype) for a in (x, dy, *Ws, *bs))
    layers = arrays[:2], arrays[2:], ("tanh", "sigmoid")
    with blas_threads(1):
        bh.set_threads(native=threads)
        y, saved = dense.forward_layers(x, *layers, backend="native")
        found = dense.backward_layers(dy, saved, backend="native")
    wide = [[a.astype(np.float64) for a in part] for part in layers[:2]]
    right, kept = dense.forward_layers(x.astype(np.float64), *wide, layers[2], backend="numpy")
    expected = dense.backward_layers(dy.astype(np.float64), kept, backend="numpy")
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    found, expected = ([y, dx, *dWs, *dbs] for y, (dx, dWs, dbs) in ((y, found), (right, expected)))
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, abs(b).max()))
    unused = ~(x != 0).any(axis=0)
    assert np.all(found[2][unused] == 0)


def test_many_rows_give_the_same_bits_with_any_number_of_threads():
    harness.needs("native")
    rng = np.random.default_rng(0)
    drawn = [rng.standard_normal(s, dtype=np.float32) for s in ((450, 40), (40, 300), (300, 70))]
    x, *Ws = drawn
    bs = [np.ones(300, np.float32), np.ones(70, np.float32)]
    seen = []
    with blas_threads(1):
        for threads in (1, 2, 3):
            bh.set_threads(native=threads)
            y, saved = dense.forward_layers(x, Ws, bs, ("tanh", "tanh"), backend="native")
            dx, dWs, dbs = dense.backward_layers(y, saved, backend="native")
            seen.append([y, dx, *dWs, *dbs])
    for other in seen[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(seen[0], other, strict=True))
