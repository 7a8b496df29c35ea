"""What can be checked: functions, layers, methods, kernels, models, states, data inputs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import backhand as bh
from backhand.checking import GradientError, kernel, model_receipts, receipts
from backhand.kernels import bernoulli_logits
from tests.core.gradcheck_layers import RNG, SQUARE, X, failing


class State(NamedTuple):
    h: Any
    c: Any


def cell(x, state, forget=False):
    h = np.tanh(x + state.h)
    c = state.c * h

    def backward(d_state):
        dh = d_state.h + (0 if forget else d_state.c * state.c)  # h is used twice
        da = dh * (1 - h * h)
        return da, State(da, d_state.c * h)

    return State(h, c), backward


def test_states_several_inputs_and_a_forgotten_second_use():
    x, h, c = RNG.normal(size=(3, 4, 2))
    found = bh.gradcheck(cell, x, State(h, c))
    assert [r.wrt for r in found] == ["x", "state.h", "state.c"]
    wrong = receipts(lambda x, state: cell(x, state, forget=True), x, State(h, c))
    assert set(failing(wrong)) == {"x", "state.h"}


def test_an_output_tuple_whose_backward_takes_its_members_apart():
    @dataclass
    class Head:
        W: np.ndarray

        def __call__(self, x):
            y = x @ self.W

            def backward(dmean, dlogvar, g):
                dy = np.concatenate([dmean, dlogvar], axis=1)
                g.W.add_outer(x, dy)
                return dy @ self.W.T

            return bh.Gaussian(y[:, :2], y[:, 2:]), backward

    bh.gradcheck(Head(RNG.normal(size=(3, 4))), X)


def test_integer_inputs_and_none_pass_through():
    @dataclass
    class Embed:
        W: np.ndarray

        def __call__(self, tokens, scale, bias):
            assert bias is None
            assert tokens.dtype == np.int64

            def backward(dy, g):
                dW = np.zeros_like(self.W)
                np.add.at(dW, tokens, dy * scale)
                g.W.add(dW)
                return None, (dy * self.W[tokens]).sum(axis=-1, keepdims=True), None

            return self.W[tokens] * scale, backward

    found = bh.gradcheck(
        Embed(RNG.normal(size=(7, 3))), np.array([1, 4, 1, 6]), RNG.normal(size=(4, 1)), None
    )
    assert [r.wrt for r in found] == ["scale", "W"]


def test_data_inputs_are_left_out_with_wrt():
    def squared_error(x, y):  # y is data: no dy
        return (x - y) ** 2, lambda d: 2 * d * (x - y)

    reason = failing(receipts(squared_error, X, X + 1))["backward"]
    assert "returned 1 gradients for the float inputs x, y" in reason
    assert bh.gradcheck(squared_error, X, X + 1, wrt="x")[0].wrt == "x"


def test_time_loops_are_called_with_keep():
    def loop(x):
        ys, backs = [], []
        for t in range(len(x)):
            y = np.sin(x[t])
            ys.append(y)
            backs.append(lambda dy, t=t: dy * np.cos(x[t]))

        def backward(dy, keep=False):
            if not backs:
                raise RuntimeError("called twice")
            walk = list(backs) if keep else [backs.pop() for _ in ys][::-1]
            return np.stack([back(d) for back, d in zip(walk, dy, strict=True)])

        return np.stack(ys), backward

    bh.gradcheck(loop, X)


def test_a_bound_method_is_checked_with_its_layers_parameters():
    @dataclass
    class Two:
        W: np.ndarray

        def step(self, x):
            def backward(dy, g):
                g.W.add_outer(x, dy)
                return dy @ self.W.T

            return x @ self.W, backward

    assert [r.wrt for r in bh.gradcheck(Two(SQUARE).step, X)] == ["x", "W"]


def test_a_kernel_through_the_adapter():
    found = bh.gradcheck(kernel(bernoulli_logits), RNG.random((4, 3)), RNG.normal(size=(2, 4, 3)))
    assert [(r.name, r.kind, r.wrt) for r in found] == [
        ("bernoulli_logits", "op", "x"),
        ("bernoulli_logits", "op", "logits"),
    ]


@dataclass
class Toy(bh.Packed):
    """objective = log N(x; mean, 1), with a planted error."""

    mean: np.ndarray
    plant: float = 1.0

    def bound(self, batch, noise, k=1, weights=None):
        eps = noise.normal("latent", batch.index, (2,), k=k, dtype=batch.x.dtype)
        u = batch.x - self.mean - eps.mean(axis=0)
        value = -0.5 * (u * u).sum(axis=1)

        def backward(d=None, g=bh.NO_GRAD, keep=False):
            g.mean.add_rows(d[:, None] * u * self.plant)

        return bh.Bound(value, {}, value, backward)


@pytest.mark.parametrize("plant", [1.0, 1 + 1e-8, 1 / 6])
def test_models(plant):
    batch = bh.Batch(RNG.normal(size=(6, 2)).astype(np.float32), np.arange(6))
    model = Toy(np.array([0.3, -0.2], np.float32), plant)
    (receipt,) = model_receipts(model, batch, bh.Noise(1), k=3)
    assert (receipt.kind, receipt.wrt, receipt.tolerance) == ("model", "mean", 1e-9)
    assert receipt.ok == (plant == 1)
    if plant == 1:
        assert bh.gradcheck_model(model, batch, bh.Noise(1)) != []
    else:
        with pytest.raises(GradientError, match="mean"):
            bh.gradcheck_model(model, batch, bh.Noise(1), k=3)


@dataclass
class TwoObjectives(Toy):
    def rival(self, batch, noise, k=1, weights=None):
        u = np.sin(self.mean) * batch.x
        value = u.sum(axis=1)

        def backward(d=None, g=bh.NO_GRAD, keep=False):
            g.mean.add_rows(d[:, None] * np.cos(self.mean) * batch.x * self.plant)

        return bh.Bound(value, {}, value, backward)

    def both(self, batch, noise, k=1, weights=None):
        return self.bound(batch, noise), self.rival(batch, noise)


def test_other_objectives_of_a_model():
    batch = bh.Batch(RNG.normal(size=(6, 2)), np.arange(6))
    right, wrong = (TwoObjectives(np.array([0.3, -0.2]), plant) for plant in (1.0, 1.001))
    (receipt,) = bh.gradcheck_model(right, batch, bh.Noise(1), method="rival")
    assert receipt.name == "TwoObjectives.rival"
    (receipt,) = model_receipts(wrong, batch, bh.Noise(1), method="rival")
    assert "1.001" in receipt.reason
    # It is another function than the bound's.
    (bound,) = bh.gradcheck_model(right, batch, bh.Noise(1))
    assert bound.name == "TwoObjectives"
    right.bound = None
    assert bh.gradcheck_model(right, batch, bh.Noise(1), method="rival")
    with pytest.raises(ValueError, match="method='loss': TwoObjectives has no method"):
        bh.gradcheck_model(wrong, batch, bh.Noise(1), method="loss")
    with pytest.raises(TypeError, match="'both' must return one Bound, got tuple of 2"):
        bh.gradcheck_model(wrong, batch, bh.Noise(1), method="both")


def test_arrays_of_one_value_and_of_no_axis():
    @dataclass
    class Scale:
        s: np.ndarray

        def __call__(self, x):
            def backward(dy, g):
                g.s.add(np.asarray((dy * x).sum()))
                return dy * self.s

            return x * self.s, backward

    found = bh.gradcheck(Scale(np.array(1.5)), np.array([[0.3]]))
    assert [r.wrt for r in found] == ["x", "s"]
    reason = failing(receipts(lambda x: (x * x, lambda d: d * x), np.array([0.3])))["x"]
    assert "off by a factor of 1/2 (a forgotten 2" in reason


def test_the_real_encoder_of_the_paper_is_checked_in_seconds():
    layer = bh.VAE.create(bh.VAEConfig(), bh.DataSpec((784,), "binary")).encoder.mlp.layers[0]
    assert layer.W.size == 156_800
    started = time.perf_counter()
    bh.gradcheck(layer, RNG.random((8, 784)).astype(np.float32))
    assert time.perf_counter() - started < 10
