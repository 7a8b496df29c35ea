"""Gradients of a layer, written into arrays that the caller gives."""

import numpy as np
import pytest

from backhand.kernels import bias_activation, dense
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
    with pytest.raises(ValueError, match=message):
        dense.backward(dy, saved, **given)


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
