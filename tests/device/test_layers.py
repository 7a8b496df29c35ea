"""Every layer on the double: what it gives on the host, and nothing computed there."""

import numpy as np
import pytest

import backhand as bh
from backhand.layers import LSTM, CausalConv, Embedding, GaussianHead, Initial, LSTMCell, State
from tests.kernels.harness import agree
from tests.tolerances import FLOAT32

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 4, 3)).astype(np.float32)  # (T, B, I) or (B, T, I)
MASK = np.array([[1, 1, 1, 1, 0, 0]] * 2 + [[1, 1, 1, 1, 1, 1]] * 2).T  # (T, B)
IDS = RNG.integers(0, 3, (5, 4))


def initial():
    return Initial(0)


def lstm(layer, g, xp, mask=None):
    h, c = (xp.asarray(X[n, :, :2].copy()) for n in (0, 1))
    y, c_last, backward = layer(xp.asarray(X), State(h, c), mask)
    dx, d_state = backward(xp.asarray(np.cos(X[:, :, :2])), c_last, g, keep=True)
    return [y, c_last, dx, *d_state]


def cell(layer, g, xp):
    state = State(xp.asarray(X[0, :, :2].copy()), xp.asarray(X[1, :, :2].copy()))
    h, c, backward = layer(xp.asarray(X[2]), state, xp.asarray(MASK[5]))
    dx, d_state = backward(h * 2, c * 3, g)
    return [h, c, dx, *d_state]


def conv(layer, g, xp):
    y, backward = layer(xp.asarray(X))
    return [y, backward(y + 1, g)]


def head(layer, g, xp):
    q, backward = layer(xp.asarray(X))
    return [*q, backward(q.mean + 1, q.logvar - 1, g)]


def embedding(layer, g, xp):
    y, backward = layer(xp.asarray(IDS))
    backward(y + 1, g)
    return [y]


LAYERS = {
    "LSTM": (lambda: LSTM.create(initial(), 3, 2), lstm),
    "LSTM, mask": (
        lambda: LSTM.create(initial(), 3, 2), lambda *a: lstm(*a, mask=a[2].asarray(MASK))
    ),
    "LSTMCell": (lambda: LSTMCell.create(initial(), 3, 2), cell),
    "CausalConv": (lambda: CausalConv.create(initial(), 3, 5, 3, 2, "tanh"), conv),
    "GaussianHead": (lambda: GaussianHead.create(initial(), 3, 2, 1.5), head),
    "Embedding": (lambda: Embedding.create(initial(), 3, 2), embedding),
}  # fmt: skip


@pytest.mark.parametrize("defer", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_on_the_device(name, defer, cupy):
    make, run = LAYERS[name]
    packed, params = bh.params.pack(make())
    device, _ = bh.params.over(packed, params.table, bh.to_device(params.vector))
    found = []
    for layer, xp in ((packed, np), (device, cupy)):
        g = bh.grads_like(layer, defer=defer)
        arrays = run(layer, g, xp)
        g.flush()
        found.append([*arrays, g.vector])
    for expected, there in zip(*found, strict=True):
        assert type(there) is cupy.ndarray
        agree(there.get(), expected, FLOAT32)
