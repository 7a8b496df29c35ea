"""The layer: causality through a stack, its receptive field, what NO_GRAD saves."""

import numpy as np
import pytest

from backhand.grads import NO_GRAD, grads_like
from backhand.kernels import causal_conv
from backhand.layers import CausalConv, Initial

rng = np.random.default_rng(0)


def stack(initial, width, dilations):
    return [CausalConv.create(initial, 3, 3, width, d, "tanh") for d in dilations]


def run(layers, x):
    for layer in layers:
        x, _ = layer(x)
    return x


@pytest.mark.parametrize(("width", "dilations"), [(2, (1, 2, 4)), (3, (1, 2, 4)), (1, (5, 7))])
def test_a_stack_sees_its_receptive_field_and_nothing_ahead(width, dilations):
    layers = stack(Initial(1, "float64"), width, dilations)
    x, T, s = rng.standard_normal((2, 24, 3)), 24, 5
    moved = x.copy()
    moved[:, s] += 1
    y, again = run(layers, x), run(layers, moved)
    changed = np.flatnonzero((y != again).any(axis=(0, 2)))
    field = 1 + (width - 1) * sum(dilations)
    assert changed[0] == s
    assert changed[-1] == s + field - 1 < T
    assert len(changed) == field


def test_gradients_reach_the_twin():
    layer = CausalConv.create(Initial(1, "float64"), 3, 4, 2, 3, "elu")
    x, dy = rng.standard_normal((2, 3, 9, 3)), rng.standard_normal((2, 3, 9, 4))
    y, backward = layer(x)
    g = grads_like(layer)
    dx = backward(dy, g)
    backward(dy, g)
    g.flush()
    _, saved = causal_conv.forward(x, layer.W, layer.b, 3, "elu")
    expected = causal_conv.backward(dy, saved)
    for found, once in zip((2 * dx, g.W.array, g.b.array), expected, strict=True):
        assert np.allclose(found, 2 * once)
    assert y.shape == dy.shape


def test_no_grad_makes_no_product_for_the_filter(monkeypatch):
    layer = CausalConv.create(Initial(1), 3, 4, 2)
    x, dy = np.ones((2, 9, 3), np.float32), np.ones((2, 9, 4), np.float32)
    asked = []
    inner = causal_conv.backward

    def spy(dy, saved, need_x, need_W, **kwargs):
        asked.append((need_x, need_W))
        return inner(dy, saved, need_x, need_W, **kwargs)

    monkeypatch.setattr(causal_conv, "backward", spy)
    _, backward = layer(x)
    assert backward(dy, NO_GRAD).shape == x.shape
    assert backward(dy, grads_like(layer), need_x=False) is None
    assert asked == [(True, False), (False, True)]


def test_initial_values_keep_the_size_of_what_passes():
    layer = CausalConv.create(Initial(0, "float64"), 200, 300, 3, 2)
    assert layer.W.shape == (3, 200, 300)
    assert not layer.b.any()
    assert np.isclose(layer.W.var(), 2 / (3 * 500), rtol=0.01)
    assert not np.array_equal(layer.W[0], layer.W[1])
    assert CausalConv.create(Initial(0), 2, 3, 4).W.dtype == np.float32


def test_wrong_shapes_are_named():
    layer = CausalConv.create(Initial(0), 3, 4, 2)
    with pytest.raises(ValueError, match=r"W must have shape \(K, I, O\) with I = 5 \(from x\)"):
        layer(np.zeros((2, 9, 5), np.float32))
