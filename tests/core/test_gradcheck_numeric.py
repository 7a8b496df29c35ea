"""Which numeric derivative is believed, how closely, and when none is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import backhand as bh
from backhand.checking import receipts
from tests.core.gradcheck_layers import BIAS, RNG, SQUARE, X, failing, softmax


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
