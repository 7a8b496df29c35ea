"""Embedding: any axes of ids, gradients into rows, initial values."""

import numpy as np
import pytest

from backhand.grads import NO_GRAD, grads_like
from backhand.layers import Embedding, Initial

rng = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(), (4,), (3, 2), (0,)])
def test_rows_and_their_gradients(shape):
    layer = Embedding.create(Initial(0, "float64"), 9, 5)
    ids, one_hot = rng.integers(0, 9, shape), np.eye(9)
    y, backward = layer(ids)
    assert np.array_equal(y, layer.W[ids])
    dy, g = rng.standard_normal(y.shape), grads_like(layer)
    assert backward(dy, NO_GRAD) is None
    backward(dy, g)
    backward(dy, g)
    g.flush()
    expected = 2 * one_hot[ids.reshape(-1)].T @ dy.reshape(-1, 5)
    assert np.allclose(g.W.array, expected, rtol=1e-14, atol=1e-15)


def test_initial_values():
    W = Embedding.create(Initial(0), 300, 40).W
    assert W.dtype == np.float32
    assert np.isclose(np.abs(W).max(), 0.1, rtol=1e-3)
    assert np.isclose(W.std(), 0.1 / np.sqrt(3), rtol=0.02)
    assert np.abs(Embedding.create(Initial(0), 300, 40, limit=0.5).W).max() > 0.49
