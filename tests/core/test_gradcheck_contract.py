"""Rules that every backward keeps, and wrong use of the checker: each is reported in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import backhand as bh
from backhand.checking import receipts
from tests.core.gradcheck_layers import BIAS, SQUARE, Affine, X, failing


def writes_input(x):
    y = np.sin(x)

    def backward(dy):
        d = dy * np.cos(x)
        x[...] = 0
        return d

    return y, backward


def writes_input_forward(x):
    y = np.sin(x)
    x += 1
    return y, lambda dy: dy * np.cos(x - 1)


def writes_cotangent(x):
    def backward(dy):
        dy *= np.cos(x)
        return dy

    return np.sin(x), backward


def keeps_a_sum(x):
    total = np.zeros_like(x)

    def backward(dy):
        total[...] += dy * np.cos(x)
        return total.copy()

    return np.sin(x), backward


def not_linear(x):
    return np.sin(x), lambda dy: np.cos(x) * np.where(dy > 0, dy, 0)


def wrong_shape(x):
    return np.sin(x), lambda dy: (dy * np.cos(x)).T


def float32_gradient(x):
    return np.sin(x), lambda dy: (dy * np.cos(x)).astype(np.float32)


def lifts(x):
    return np.sin(x), lambda dy: dy * np.cos(x.astype(np.float64))


def not_finite(x):
    y = np.log(x.real)
    return y, lambda dy: dy / x


def nan_gradient(x):
    return np.sin(x), lambda dy: dy * np.nan


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (writes_input, "the backward writes into it"),
        (writes_input_forward, "the forward writes into it"),
        (writes_cotangent, "the backward writes into it"),
        (keeps_a_sum, "twice as much: it keeps a sum between calls"),
        (not_linear, "not linear in its cotangent"),
        (wrong_shape, "its gradient has shape (3, 5), it has (5, 3); transposed"),
        (float32_gradient, "its gradient is float32, it is float64 itself"),
        (not_finite, "the forward gives nan at [0, "),
        (nan_gradient, "the backward gives nan at x[0, 0]"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_broken_rules_are_reported(f, words):
    found = receipts(f, X)
    assert any(words in reason for reason in failing(found).values()), failing(found)


def test_a_gradient_that_leaves_float32_is_reported():
    assert all(r.ok for r in receipts(lifts, X))
    reason = failing(receipts(lifts, X.astype(np.float32)))["x"]
    assert reason == "its gradient is float64, it is float32 itself"


def test_a_backward_that_overwrites_g():
    @dataclass
    class Overwrites:
        W: np.ndarray

        def __call__(self, x):
            def backward(dy, g):
                if g is not bh.NO_GRAD:
                    g.W.array[...] = x.T @ dy
                return dy @ self.W.T

            return x @ self.W, backward

    assert failing(receipts(Overwrites(SQUARE), X)) == {
        "W": "the backward does not add to g but overwrites it"
    }


def test_a_backward_that_depends_on_g():
    @dataclass
    class Depends:
        W: np.ndarray

        def __call__(self, x):
            def backward(dy, g):
                g.W.add_outer(x, dy)
                return dy @ self.W.T * (0 if g is bh.NO_GRAD else 1)

            return x @ self.W, backward

    assert failing(receipts(Depends(SQUARE), X)) == {
        "x": "the backward gives another gradient when g is NO_GRAD"
    }


def test_a_layer_whose_backward_takes_no_g():
    @dataclass
    class Forgets:
        W: np.ndarray

        def __call__(self, x):
            return x @ self.W, lambda dy: dy @ self.W.T

    reasons = failing(receipts(Forgets(SQUARE), X))
    assert reasons == {"backward": "backward takes no g: no gradient can reach W"}


def test_a_backward_of_too_many_arguments():
    def f(x):
        return x, lambda a, b, c: a

    assert "needs 3 arguments; 1 outputs" in failing(receipts(f, X))["backward"]


class Plain:
    def __init__(self, W):
        self.W = W

    def __call__(self, x):
        return x @ self.W, lambda dy: dy @ self.W.T


def hides_a_layer(x):
    return Affine(SQUARE, BIAS)(x)


@pytest.mark.parametrize(
    ("f", "inputs", "error", "words"),
    [
        (Plain(SQUARE), (X,), TypeError, "so its W would not be trained; make it a @dataclass"),
        (hides_a_layer, (X,), TypeError, "backward takes g but hides_a_layer holds no parameters"),
        (lambda x: x, (X,), TypeError, "must return .y, ..., backward., got ndarray"),
        (lambda x: (1.0, lambda d: d), (X,), TypeError, "y.0 must be a float array, got float"),
        (lambda n: (n, lambda d: d), (3,), ValueError, "nothing to check"),
        (np.sin, (np.empty((0, 3)),), TypeError, "must return"),
        (lambda x: (x, lambda d: d), (np.empty((0, 3)),), ValueError, "every array is empty"),
    ],
)
def test_wrong_use(f, inputs, error, words):
    with pytest.raises(error, match=words):
        bh.gradcheck(f, *inputs)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="no input or parameter 'V'; there are x, W, b"):
        bh.gradcheck(Affine(SQUARE, BIAS), X, wrt=["V"])


def test_an_error_in_the_users_code_passes_through():
    def f(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        bh.gradcheck(f, X)
