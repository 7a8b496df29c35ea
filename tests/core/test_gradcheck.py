"""The checker is tested with planted errors: each must be caught, and named."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import backhand as bh
from backhand.checking import GradientError, Receipt, kernel, model_receipts, receipts
from backhand.kernels import bernoulli_logits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3))
SQUARE = RNG.normal(size=(3, 3))
BIAS = RNG.normal(size=3)


@dataclass
class Affine:
    """A user's own layer; ``plant`` says what is wrong with its backward."""

    W: np.ndarray
    b: np.ndarray
    plant: str = ""

    def __call__(self, x):
        y = np.tanh(x @ self.W + self.b)

        def backward(dy, g):
            plant, rows = self.plant, len(x)
            da = dy * (1 - y * y)
            dW, db, dx = x.T @ da, da.sum(axis=0), da @ self.W.T
            if plant == "twice":
                dW = 2 * dW
            elif plant == "mean":
                dW, db = dW / rows, db / rows
            elif plant == "sign":
                db = -db
            elif plant == "transposed":
                dW = dW.T
            elif plant == "transposed mean":
                dW = dW.T / rows
            elif plant == "millionth":
                dW = dW * (1 + 1e-6)
            elif plant == "row":
                dW[2] *= 1.5
            elif plant == "zero row":
                dW[1] = 0
            elif plant == "entry":
                dW[1, 2] += 0.25
            elif plant == "term":
                dx = dy @ self.W.T
            elif plant == "zero":
                dx = np.zeros_like(x)
            elif plant == "ignores dy":
                dW = x.T @ (1 - y * y)
            g.W.add(dW)
            if plant != "no bias":
                g.b.add(db)
            return dx

        return y, backward


def failing(found: list[Receipt]) -> dict[str, str]:
    """What is not ok, and every reason for it."""
    wrong: dict[str, str] = {}
    for r in found:
        if not r.ok:
            wrong[r.wrt] = f"{wrong[r.wrt]}; {r.reason}" if r.wrt in wrong else r.reason
    return wrong


def test_a_right_layer_passes_to_complex_step_precision():
    found = bh.gradcheck(Affine(SQUARE, BIAS), X)
    assert [(r.wrt, r.kind, r.method) for r in found] == [
        ("x", "layer", "complex step"),
        ("W", "layer", "complex step"),
        ("b", "layer", "complex step"),
    ]
    assert all(r.ok and r.max_rel_error <= 1e-14 and r.tolerance == 1e-12 for r in found)


def test_float32_is_lifted():
    layer = Affine(SQUARE.astype(np.float32), BIAS.astype(np.float32))
    found = bh.gradcheck(layer, X.astype(np.float32))
    assert all(r.max_rel_error <= 1e-14 for r in found)
    assert layer.W.dtype == np.float32


@pytest.mark.parametrize(
    ("plant", "wrong", "words"),
    [
        ("twice", {"W"}, "factor of 2 throughout (accumulated twice"),
        ("mean", {"W", "b"}, "factor of 1/5 throughout (5 is axis 0 of x: a mean where a sum"),
        ("sign", {"b"}, "factor of -1 throughout (the sign)"),
        ("transposed", {"W"}, "transposed: it equals"),
        ("transposed mean", {"W"}, "transposed, and off by a factor of 1/5"),
        ("millionth", {"W"}, "factor of 1.000001"),
        ("row", {"W"}, "wrong only at index 2 of axis 0 (of 3): off by a factor of 1.5"),
        ("zero row", {"W"}, "wrong only at index 1 of axis 0 (of 3): zero there"),
        ("entry", {"W"}, "worst at W[1, 2]"),
        ("term", {"x"}, "a missing or an extra term"),
        ("zero", {"x"}, "missing: the backward returns zeros"),
        ("no bias", {"b"}, "missing: no gradient reaches it"),
        ("ignores dy", {"W"}, "right when the cotangent is all ones"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_planted_errors_are_caught_and_named(plant, wrong, words, dtype):
    layer = Affine(SQUARE.astype(dtype), BIAS.astype(dtype), plant)
    found = receipts(layer, X.astype(dtype))
    assert set(failing(found)) == wrong
    assert any(words in reason for reason in failing(found).values()), failing(found)
    with pytest.raises(GradientError, match=sorted(wrong)[0]) as caught:
        bh.gradcheck(layer, X.astype(dtype))
    assert [r[:4] for r in caught.value.receipts] == [r[:4] for r in found]


def test_the_message_gives_place_both_values_and_the_right_ones():
    layer = Affine(SQUARE, BIAS, "entry")
    y = np.tanh(X @ SQUARE + BIAS)
    with pytest.raises(GradientError) as caught:
        bh.gradcheck(layer, X, seed=4)
    dy = bh.Noise(4).normal("check", np.zeros(1, int), y.shape, layer=1, dtype=np.float64)[0]
    right = (X.T @ (dy * (1 - y * y)))[1, 2]
    text = str(caught.value)
    assert f"W[1, 2]: the backward gives {right + 0.25:.10g}, complex step {right:.10g}" in text
    assert "relative error" in text
    assert "right: x " in text


def test_sizes_of_the_batch_and_the_samples_are_told_apart():
    def mean_over_samples(x):  # (K, B) -> sum over K; its backward divides by K
        return x.sum(axis=0), lambda dy: np.broadcast_to(dy / 7, x.shape).copy()

    (receipt,) = receipts(mean_over_samples, RNG.normal(size=(7, 4)))
    assert "1/7 throughout (7 is axis 0 of x: a mean where a sum belongs)" in receipt.reason


def test_a_large_array_has_its_one_wrong_entry_found():
    @dataclass
    class Wide:
        W: np.ndarray

        def __call__(self, x):
            def backward(dy, g):
                dW = x.T @ dy
                dW[71, 33] += 1e-3
                g.W.add(dW)
                return dy @ self.W.T

            return x @ self.W, backward

    wide = Wide(RNG.normal(size=(90, 60)))
    reasons = failing(receipts(wide, RNG.normal(size=(2, 90))))
    assert list(reasons) == ["W"]
    assert "W[71, 33]" in reasons["W"]


def softmax(x, wrong=False):
    e = np.exp(x)
    y = e / e.sum(axis=-1, keepdims=True)

    def backward(dy):
        if wrong:  # dy dropped from the inner sum: still zero where dy is one
            return y * (dy - dy.mean(axis=-1, keepdims=True))
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))

    return y, backward


def test_a_normalised_output_is_not_fooled_by_ones():
    x = RNG.normal(size=(4, 6))
    y, backward = softmax(x, wrong=True)
    assert np.abs(backward(np.ones_like(y))).max() < 1e-15  # under ones it would pass
    bh.gradcheck(softmax, x)
    assert not receipts(lambda x: softmax(x, wrong=True), x)[0].ok


def test_a_derivative_of_about_zero_is_refused():
    def normalised_sum(x):  # one, whatever x is
        y, back = softmax(x)
        return y.sum(axis=-1), lambda dy: back(np.repeat(dy[..., None], x.shape[-1], -1))

    (receipt,) = receipts(normalised_sum, RNG.normal(size=(4, 6)))
    assert not receipt.ok
    assert "about zero: nothing certified" in receipt.reason
    assert np.isnan(receipt.max_rel_error)


def test_a_nonzero_gradient_where_there_is_none_is_wrong():
    def constant(x):
        return np.ones_like(x), lambda dy: dy

    assert not receipts(constant, X)[0].ok


def test_an_unused_parameter_is_refused():
    @dataclass
    class Spare:
        W: np.ndarray
        spare: np.ndarray

        def __call__(self, x):
            def backward(dy, g):
                g.W.add_outer(x, dy)
                return dy @ self.W.T

            return x @ self.W, backward

    reasons = failing(receipts(Spare(SQUARE, BIAS), X))
    assert list(reasons) == ["spare"]
    assert "whether it is used" in reasons["spare"]
    assert bh.gradcheck(Spare(SQUARE, BIAS), X, wrt=["x", "W"])


def test_a_saturated_function_is_refused():
    def sigmoid(x):
        y = 1 / (1 + np.exp(-x))
        return y, lambda dy: dy * y * (1 - y)

    assert "about zero" in receipts(sigmoid, np.full((2, 3), 40.0))[0].reason


@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("name", ["abs", "clip", "norm", "real", "float only"])
def test_what_is_not_analytic_falls_back_to_central_differences(name, wrong):
    def f(x):
        if name == "abs":
            y, slope = np.abs(x) * x, 2 * np.abs(x)
        elif name == "clip":
            y, slope = np.clip(x.real, -0.5, 0.7) ** 2, np.where((x > -0.5) & (x < 0.7), 2 * x, 0)
        elif name == "norm":
            y = np.linalg.norm(x, axis=-1, keepdims=True)
            return y, lambda dy: dy * (1 + 1e-6 * wrong) * x / y
        elif name == "real":
            y, slope = np.sin(x.real), np.cos(x)
        else:
            if np.iscomplexobj(x):
                raise TypeError("float only")
            y, slope = np.cbrt(x), np.cbrt(x) / (3 * x)
        return y, lambda dy: dy * slope * (1 + 1e-6 * wrong)

    (receipt,) = receipts(f, RNG.normal(size=(3, 4)))
    assert receipt.method == "central differences"
    assert receipt.tolerance == 1e-9
    assert receipt.ok != wrong
    if not wrong:
        assert receipt.max_rel_error <= 1e-9
        assert "not analytic" in receipt.reason or "float only" in receipt.reason
    else:
        assert "1.000001" in receipt.reason


def test_comparisons_and_maxima_are_analytic_on_the_real_part():
    def relu(x):
        return np.maximum(x, 0), lambda dy: dy * (x > 0)

    (receipt,) = bh.gradcheck(relu, X)
    assert receipt.method == "complex step"


def test_only_a_part_that_is_not_analytic_is_noticed():
    def f(x):  # one column of nine drops the imaginary part
        y = np.sin(x)
        y[:, 4] = np.abs(x[:, 4])
        slope = np.cos(x)
        slope[:, 4] = np.sign(x[:, 4])
        return y, lambda dy: dy * slope

    (receipt,) = bh.gradcheck(f, RNG.normal(size=(3, 9)))
    assert receipt.method == "central differences"


@pytest.mark.parametrize("lost", ["all of it", "one column"])
def test_a_small_real_term_that_complex_step_does_not_see_is_caught(lost):
    """The term is missing in the complex form and in the backward alike."""

    def f(x, right=False):
        small = np.full(x.shape[-1], 1e-5)
        if lost == "one column":
            small[1:] = 0
        y = x**2 + small * np.sin(x.real)
        slope = 2 * x + small * np.cos(x) * right
        return y, lambda dy: dy * slope

    (receipt,) = receipts(f, X)
    assert not receipt.ok
    assert receipt.method == "central differences"
    assert "disagree: not analytic" in receipt.reason
    (receipt,) = bh.gradcheck(lambda x: f(x, right=True), X)
    assert receipt.method == "central differences"


SIZES = [1.0, 1e14, 1e3, 1e-9]


@pytest.mark.parametrize("entry", range(4))
@pytest.mark.parametrize("factor", [2.0, 0.5, -1.0])
def test_an_entry_is_compared_by_its_own_size_too(entry, factor):
    sizes = np.array(SIZES)
    wrong = sizes.copy()
    wrong[entry] *= factor

    def own_outputs(x):
        return sizes * x, lambda dy: dy * wrong

    x = RNG.normal(size=4)
    (receipt,) = receipts(own_outputs, x)
    # 1e-9 beside 1e14 is less than the rounding of the large one.
    assert receipt.ok == (entry == 3)
    if entry != 3:
        assert f"worst at x[{entry}]" in receipt.reason
    assert bh.gradcheck(lambda x: (sizes * x, lambda dy: dy * sizes), x)[0].max_rel_error < 1e-14


def test_an_error_that_only_the_comparison_of_entries_shows():
    """One entry of 32, off by 1e-9 of itself: in every direction a part in 1e12 of the sum."""
    sizes = np.ones(32)
    sizes[7] = 1e-4

    def f(x):
        slope = sizes * (1 + 1e-9 * (np.arange(32) == 7))
        return sizes * x, lambda dy: dy * slope

    (receipt,) = receipts(f, np.ones(32))
    assert not receipt.ok
    assert "worst at x[7]" in receipt.reason
    assert 0.9e-9 < receipt.max_rel_error < 1.1e-9


def test_entries_are_compared_by_central_differences_too():
    def f(x):
        slope = 1 + 4e-9 * (np.arange(32) == 7)
        return x.real.copy(), lambda dy: dy * slope

    (receipt,) = receipts(f, np.ones(32))
    assert not receipt.ok
    assert receipt.method == "central differences"
    assert "worst at x[7]" in receipt.reason


def test_saturated_entries_beside_others_are_no_false_alarm():
    def tanh(x):  # 1 - y * y is rounding where y is nearly one
        y = np.tanh(x)
        return y, lambda dy: dy * (1 - y * y)

    assert bh.gradcheck(tanh, np.linspace(-30, 30, 31))[0].method == "complex step"


def test_an_error_below_what_differences_can_show_is_no_excuse_to_fall_back():
    def f(x):
        return np.sin(x), lambda dy: dy * np.cos(x) * (1 + 1e-11)

    (receipt,) = receipts(f, X)
    assert receipt.method == "complex step"
    assert not receipt.ok


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


# -- the contract ------------------------------------------------------------------


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


# -- wrong use -----------------------------------------------------------------------


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


# -- models --------------------------------------------------------------------------


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


def test_the_public_name_stays_a_function_whatever_is_imported():
    import backhand.checking

    assert callable(bh.gradcheck)
    assert bh.gradcheck is backhand.checking.gradcheck


@pytest.mark.parametrize("seed", range(5))
def test_other_seeds_draw_other_directions_and_agree(seed):
    assert all(r.max_rel_error < 1e-13 for r in bh.gradcheck(Affine(SQUARE, BIAS), X, seed=seed))


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


def test_the_page_on_checking_shows_what_really_happens():
    page = Path(__file__).parents[2] / "docs" / "gradcheck.md"
    code, shown = page.read_text().split("```python\n")[1].split("```\n", 1)
    with pytest.raises(GradientError) as caught:
        exec(code, {"__name__": "page"})
    printed = shown.split("```")[1].split("GradientError: ")[1]
    assert _coarse(printed) == _coarse(str(caught.value))
    exec(code.replace("da @ self.W.T ", "da @ self.W.T + dy * t "), {"__name__": "page"})


def _coarse(text):
    """Words, and numbers to five digits: the last ones depend on the machine."""
    words = re.sub(r"\d\.\de-1[56]", "tiny", text).split()
    return [re.sub(r"(-?\d+\.\d{4})\d+", r"\1", word) for word in words]


def test_a_kink_at_the_very_values_is_named():
    def relu(x):
        return np.where(x.real > 0, x, 0), lambda dy: dy * (x > 0)

    x = X.copy()
    x[:, 1] = 0
    (receipt,) = receipts(relu, x)
    assert not receipt.ok
    assert "complex step sides with the backward: a kink at these very values?" in receipt.reason


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_complex_form_that_overflows_falls_back():
    def f(x):
        y = np.tanh(x) if x.dtype.kind == "f" else np.full_like(x, complex(np.nan, np.nan))
        return y, lambda dy: dy / np.cosh(x) ** 2

    (receipt,) = bh.gradcheck(f, X)
    assert receipt.method == "central differences"
    assert "not finite" in receipt.reason


@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_cannot_be_settled_is_not_called_wrong_and_does_not_pass():
    def noisy(x):  # not analytic, and no difference settles
        bits = (x.real * 1e9).astype(np.int64) % 7
        return x.real + 1e-4 * bits, lambda dy: dy

    (receipt,) = receipts(noisy, X)
    assert not receipt.ok
    assert "undecided: central differences settle to" in receipt.reason


def test_values_beside_a_pole_of_another_branch_pass_in_the_end():
    def root(x):  # NaN below zero, and some inputs lie close to it
        y = np.sqrt(x.real)
        return y, lambda dy: dy / (2 * y)

    with np.errstate(invalid="ignore"):
        (receipt,) = bh.gradcheck(root, np.array([0.004, 0.9, 2.0]))
    assert receipt.method == "central differences"


def test_numeric_values_that_are_not_finite_never_pass():
    def f(x):  # finite at x alone
        y = np.where(x.real == X, x.real, np.nan)
        return y, lambda dy: dy

    assert not receipts(f, X)[0].ok


def test_the_real_encoder_of_the_paper_is_checked_in_seconds():
    layer = bh.VAE.create(bh.VAEConfig(), bh.DataSpec((784,), "binary")).encoder.mlp.layers[0]
    assert layer.W.size == 156_800
    started = time.perf_counter()
    bh.gradcheck(layer, RNG.random((8, 784)).astype(np.float32))
    assert time.perf_counter() - started < 10
