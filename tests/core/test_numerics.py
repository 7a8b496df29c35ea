"""Elementary functions far out, against 80-digit arithmetic, and under complex step."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backhand.numerics import (
    log1p,
    log_mean_exp,
    magnitude,
    maximum,
    sigmoid,
    softplus,
    sum_rows,
    xp_of,
)

FAR = [-1e4, -745.5, -100.0, -50.0, -20.0, -1.5, -1e-8, 0.0, 1e-8, 0.3, 2.0, 36.8, 50.0, 800.0, 1e4]
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


def exactly(f, x):
    """f of the numbers that the array really holds, in 80 digits, rounded to double."""
    with localcontext() as context:
        context.prec = 80
        return np.array([float(f(Decimal(float(v)))) for v in x])


def exact_sigmoid(x):
    return 1 / (1 + (-x).exp())


def exact_softplus(x):
    return max(x, Decimal(0)) + (1 + (-abs(x)).exp()).ln()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_far_out(dtype):
    x = np.array(FAR, dtype)
    y = sigmoid(x)
    assert y.dtype == dtype
    assert np.abs(y - exactly(exact_sigmoid, x)).max() <= EPS[dtype]
    assert y[0] == 0
    assert y[-1] == 1
    assert np.abs(sigmoid(-x) - (1 - y)).max() <= EPS[dtype]  # the tails' symmetry


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softplus_far_out(dtype):
    x = np.array(FAR, dtype)
    y = softplus(x)
    assert y.dtype == dtype
    right = exactly(exact_softplus, x)
    tiny = np.finfo(dtype).tiny  # below it only the absolute error can be small
    assert (np.abs(y - right) <= 4 * EPS[dtype] * right + tiny).all()
    assert y[-1] == x[-1]


@pytest.mark.parametrize("x", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_stays_what_it_is(x):
    value = np.array([x])
    assert np.array_equal(softplus(value), np.maximum(value, 0), equal_nan=True)
    expected = np.nan if np.isnan(x) else float(x > 0)
    assert np.array_equal(sigmoid(value), [expected], equal_nan=True)


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (sigmoid, lambda x: exact_sigmoid(x) * exact_sigmoid(-x)),
        (softplus, exact_sigmoid),
        (magnitude, lambda x: Decimal(-1 if x < 0 else 1)),
        (lambda x: maximum(x, 0.5), lambda x: Decimal(x >= Decimal("0.5"))),
        (lambda x: maximum(x, -2.0), lambda x: Decimal(x >= -2)),
    ],
)
def test_the_imaginary_part_carries_the_derivative(f, slope):
    x = np.array(FAR)
    y = f(x + 1e-20j)
    assert y.dtype == np.complex128
    right = exactly(slope, x)
    assert np.abs(y.imag / 1e-20 - right).max() <= 4 * EPS["float64"]
    assert np.abs(y.real - f(x)).max() <= 4 * EPS["float64"] * np.abs(f(x)).max()


@settings(deadline=None)
@given(hnp.arrays(np.float64, (7,), elements=st.floats(-50, 50, allow_subnormal=False)))
def test_complex_and_real_values_agree(x):
    for f in (sigmoid, softplus, magnitude, lambda x: maximum(x, 0.0)):
        assert np.allclose(f(x.astype(complex)).real, f(x), rtol=1e-14, atol=1e-15)


def test_softplus_keeps_its_digits_in_the_complex_form():
    x = np.array([-30.0, -45.0, -300.0])
    assert np.allclose(softplus(x + 1e-20j).real, softplus(x), rtol=1e-14, atol=0)


def test_log1p_of_complex_numbers():
    z = np.array([1e-20 + 1e-20j, 3 - 4j, -0.5 + 1e-30j, 1e-9 - 1e-9j])
    series = z[3] - z[3] ** 2 / 2 + z[3] ** 3 / 3
    right = [z[0], np.log(4 - 4j), math.log(0.5) + 2e-30j, series]
    for part in (np.real, np.imag):
        assert np.allclose(part(log1p(z)), part(np.array(right)), rtol=1e-14, atol=0)
    assert log1p(np.array([1e-20])).tolist() == [1e-20]


def test_branches_are_taken_on_the_real_part():
    assert magnitude(np.array([-2 + 3j, 2 - 3j, 0 + 1j])).tolist() == [2 - 3j, 2 - 3j, 0 + 1j]
    assert maximum(np.array([-2 + 3j, 2 - 3j]), 0.0).tolist() == [0, 2 - 3j]
    assert maximum(np.array([1.0, np.nan, 3.0], "f4"), 2.0).tolist()[::2] == [2, 3]
    assert maximum(np.array([1.0], "f4"), 2.0).dtype == np.float32


# -- log mean exp --------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [-1e4, -800.0, 0.0, 800.0, 1e4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_mean_exp_far_out(shift, dtype):
    x = (np.array([[0.0, -3.0], [1.0, -40.0], [-2.0, -3.5]]) + shift).astype(dtype)
    y = log_mean_exp(x)
    assert y.dtype == dtype
    with localcontext() as context:
        context.prec = 80
        right = [float((sum(Decimal(float(v)).exp() for v in column) / 3).ln()) for column in x.T]
    assert np.allclose(y, right, rtol=4 * EPS[dtype], atol=4 * EPS[dtype])


def test_log_mean_exp_of_equals_is_that_value():
    assert log_mean_exp(np.full((5, 2), -1234.5)).tolist() == [-1234.5] * 2


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_log_mean_exp_along_an_axis(axis):
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    assert np.allclose(log_mean_exp(x, axis=axis), np.log(np.exp(x).mean(axis=axis)), rtol=1e-14)


@pytest.mark.filterwarnings("error")
def test_log_mean_exp_of_infinities():
    inf, nan = np.inf, np.nan
    x = np.array([[-inf, -inf, inf, nan], [-inf, 0.0, 1.0, 0.0]])
    y = log_mean_exp(x)
    assert y[0] == -inf
    assert y[1] == -math.log(2)
    assert y[2] == inf
    assert np.isnan(y[3])


def test_log_mean_exp_under_complex_step():
    x = np.random.default_rng(1).normal(size=(4, 3)) * 20
    weights = np.exp(x - x.max(axis=0)) / np.exp(x - x.max(axis=0)).sum(axis=0)
    for k in range(4):
        moved = x.astype(complex)
        moved[k] += 1e-20j
        assert np.allclose(log_mean_exp(moved).imag / 1e-20, weights[k], rtol=1e-13, atol=0)


# -- sums over rows ------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 1, 2, 127, 128, 255, 256, 257, 383, 1000, 40_000])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_sum_rows(rows, dtype):
    x = np.random.default_rng(rows).normal(size=(rows, 3)).astype(dtype)
    y = sum_rows(x)
    assert y.shape == (3,)
    assert y.dtype == dtype
    scale = np.abs(x).sum(axis=0).max(initial=1e-300)
    eps = 2.0**-23 if dtype == "float32" else 2.0**-52
    assert np.abs(y - x.astype(complex).sum(axis=0)).max() <= 16 * eps * scale


def test_sum_rows_over_any_leading_axes():
    x = np.random.default_rng(0).normal(size=(4, 50, 7, 3))
    assert np.allclose(sum_rows(x), x.sum(axis=(0, 1, 2)), rtol=1e-12)
    assert np.array_equal(sum_rows(x[0, 0, 0]), x[0, 0, 0])
    assert np.allclose(sum_rows(x[::2, :, ::-1]), x[::2].sum(axis=(0, 1, 2)), rtol=1e-12)
    assert sum_rows(np.ones((300, 0))).shape == (0,)


def test_sum_rows_of_one_sign_keeps_float32():
    assert np.allclose(sum_rows(np.full((200_000, 2), 0.1, "f4")), 20_000, rtol=1e-5)


def test_the_array_module():
    assert xp_of(np.ones(1)) is np
    assert xp_of(np.float32(1)) is np
    assert xp_of([1.0]) is np
