"""Layers through their closures: gradients, leading axes, precision, initial values."""

import numpy as np
import pytest

from backhand.grads import NO_GRAD, grads_like
from backhand.layers import MLP, Dense, GaussianHead, Initial, Linear, activations
from backhand.params import leaves

rng = np.random.default_rng(0)
MAKERS = {
    "Linear": lambda initial: Linear.create(initial, 4, 3),
    "Dense": lambda initial: Dense.create(initial, 4, 3, "tanh"),
    "MLP": lambda initial: MLP.create(initial, 4, (5, 3), "softplus"),
    "GaussianHead": lambda initial: GaussianHead.create(initial, 4, 3),
    "bounded GaussianHead": lambda initial: GaussianHead.create(initial, 4, 3, bound=1.5),
}
each_layer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def made(make, dtype="float64"):
    layer = make(Initial(1, dtype))
    for i, (_, array) in enumerate(leaves(layer)):
        array += np.linspace(-0.3, 0.4, array.size).reshape(array.shape).astype(dtype) * (i + 1)
    return layer


def outputs_of(layer, x):
    *outputs, backward = layer(x)
    return [y for out in outputs for y in (out if isinstance(out, tuple) else (out,))], backward


def gradients(layer, x, cotangents, **kwargs):
    g = grads_like(layer)
    _, backward = outputs_of(layer, x)
    dx = backward(*cotangents, g, **kwargs)
    g.flush()
    return dx, g.vector


@each_layer
@pytest.mark.parametrize("shape", [(4,), (6, 4), (2, 3, 4), (0, 4), (1, 1, 4)])
def test_any_leading_axes_are_rows(make, shape):
    layer, x = made(make), rng.standard_normal(shape)
    outputs, _ = outputs_of(layer, x)
    cotangents = [rng.standard_normal(y.shape) for y in outputs]
    dx, vector = gradients(layer, x, cotangents)
    rows = x.reshape(-1, 4)
    flat = [d.reshape(-1, d.shape[-1]) for d in cotangents]
    dx_rows, vector_rows = gradients(layer, rows, flat)
    assert dx.shape == x.shape
    assert np.allclose(dx.reshape(-1, 4), dx_rows)
    assert np.allclose(vector, vector_rows)


@each_layer
def test_float32_stays_float32_and_follows_float64(make):
    layer, low = made(make), made(make, "float32")
    x = rng.standard_normal((5, 4))
    outputs, _ = outputs_of(layer, x)
    cotangents = [rng.standard_normal(y.shape) for y in outputs]
    single, _ = outputs_of(low, x.astype(np.float32))
    dx, vector = gradients(layer, x, cotangents)
    dx_low, vector_low = gradients(
        low, x.astype(np.float32), [d.astype(np.float32) for d in cotangents]
    )
    for a, b in [*zip(single, outputs, strict=True), (dx_low, dx), (vector_low, vector)]:
        assert a.dtype == np.float32
        assert np.abs(a - b).max() < 2e-6 * np.abs(b).max()


@each_layer
def test_no_grad_and_no_dx(make):
    layer, x = made(make), rng.standard_normal((5, 4))
    outputs, backward = outputs_of(layer, x)
    cotangents = [rng.standard_normal(y.shape) for y in outputs]
    dx, vector = gradients(layer, x, cotangents)
    assert np.array_equal(backward(*cotangents, NO_GRAD), dx)
    none, same = gradients(layer, x, cotangents, need_x=False)
    assert none is None
    assert np.array_equal(same, vector)


@each_layer
def test_one_layer_called_twice_adds_its_gradients(make):
    layer, x = made(make), rng.standard_normal((2, 5, 4))
    g, expected = grads_like(layer), 0
    for step in range(2):
        outputs, backward = outputs_of(layer, x[step])
        cotangents = [np.ones_like(y) * (step + 1) for y in outputs]
        backward(*cotangents, g)
        expected = expected + gradients(layer, x[step], cotangents)[1]
    g.flush()
    assert np.allclose(g.vector, expected)


def test_an_empty_mlp_is_the_identity():
    mlp = MLP.create(Initial(0), 4, (), "tanh")
    x = rng.standard_normal((3, 4))
    y, backward = mlp(x)
    assert y is x
    assert backward(y, NO_GRAD) is y


def test_head_says_log_standard_deviation():
    head = GaussianHead.create(Initial(0, "float64"), 2, 1)
    head.linear.W[...], head.linear.b[...] = 0, [3, -0.5]
    q, _ = head(np.zeros((1, 2)))
    assert q.mean[0, 0] == 3
    assert q.logvar[0, 0] == -1
    bounded = GaussianHead(head.linear, bound=0.25)
    assert np.isclose(bounded(np.zeros((1, 2)))[0].logvar[0, 0], 2 * 0.25 * np.tanh(-2))


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu", "leaky_relu", "softplus", "elu"])
def test_activations_as_functions(name):
    f = getattr(activations, name)
    x = np.array([[-2.0, -0.5, 0.5, 2.0]])
    y, backward = f(x)
    numeric = (f(x + 1e-6)[0] - f(x - 1e-6)[0]) / 2e-6
    assert np.allclose(backward(np.ones_like(x)), numeric, rtol=1e-8)
    assert not np.allclose(y, x)


def test_initial_values_follow_seed_and_order():
    a, b = Initial(3), Initial(3)
    first, second = a.glorot(5, 7), a.glorot(5, 7)
    assert np.array_equal(first, b.glorot(5, 7))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, Initial(4).glorot(5, 7))
    limit = np.sqrt(6 / 12)
    assert (np.abs(first) < limit).all()
    assert first.dtype == np.float32
    wide = Initial(0, "float64").glorot(300, 400)
    assert np.isclose(wide.var(), 2 / 700, rtol=0.01)


def test_wrong_shapes_and_types_are_named():
    layer = Linear.create(Initial(0), 4, 3)
    with pytest.raises(
        ValueError, match=r"dense: W must have shape \(I, O\) with I = 5 \(from x\)"
    ):
        layer(np.zeros((2, 5), np.float32))
    with pytest.raises(TypeError, match="never casts silently"):
        layer(np.zeros((2, 4)))
