"""The polynomials of vec_math.h and numba_math.py, in units of the last place."""

import numpy as np
import pytest

from tests.tolerances import ULPS

EXACT = {
    "exp": np.exp,
    "log": np.log,
    "expm1": np.expm1,
    "log1p_unit": np.log1p,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(0, x),
}
SMALL = np.logspace(-37, 0, 20_001)
WORST = [-5.8752837, 0.36901027, 0.0077532097, -16.64848, -1.2834337, 1.3977865]  # of a long search
WIDE = np.concatenate(
    [np.linspace(-87, 88, 300_001), np.linspace(-2, 2, 100_001), SMALL, -SMALL, WORST]
)
POINTS = {
    "log": np.concatenate([np.exp(np.linspace(-87, 88, 300_001)), np.linspace(0.5, 2, 99_999)])
}
POINTS["log1p_unit"] = np.concatenate([np.linspace(0, 1, 300_001), SMALL])
FAR = np.array([0, np.inf, -np.inf, np.nan, 1e4, -1e4, 3e-40], np.float32)


def native(name):
    return getattr(pytest.importorskip("backhand._native").vec_math, name)


def numba(name):
    numba = pytest.importorskip("numba")
    from backhand.kernels import numba_math

    f = getattr(numba_math, name)

    @numba.njit(error_model="numpy")
    def loop(y, x):
        for i in range(len(x)):
            y[i] = f(x[i])

    def over(x):
        y = np.empty_like(x)
        loop(y, x)
        return y

    return over


@pytest.mark.parametrize("form", [native, numba])
@pytest.mark.parametrize("name", EXACT)
def test_within_its_units_in_the_last_place(form, name):
    x = POINTS.get(name, WIDE).astype(np.float32)
    exact = EXACT[name](x.astype(np.float64))
    error = np.abs(form(name)(x) - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert error.max() <= ULPS[name]


@pytest.mark.parametrize("form", [native, numba])
@pytest.mark.parametrize("name", [name for name in EXACT if name != "log1p_unit"])
def test_far_out_as_the_library(form, name):
    with np.errstate(all="ignore"):
        expected = EXACT[name](FAR.astype(np.float64)).astype(np.float32)
    found = form(name)(FAR)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.allclose(found, expected, rtol=1e-6, atol=0, equal_nan=True)


def test_in_double_numba_takes_the_library():
    x = np.linspace(0.01, 0.99, 101)
    for name, exact in EXACT.items():
        assert np.allclose(numba(name)(x), exact(x), rtol=1e-15)


@pytest.mark.parametrize("form", [native, numba])
def test_exp_of_what_is_not_positive(form):
    x = np.linspace(-87.3, 0, 400_001).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    found = form("exp_below")(x)
    assert (np.abs(found - exact) / np.spacing(exact.astype(np.float32))).max() <= ULPS["exp_below"]
    far = np.array([-88, -1e4, -1e30, -np.inf, np.nan, -0.0, 0.0], np.float32)
    np.testing.assert_array_equal(form("exp_below")(far), [0, 0, 0, 0, np.nan, 1, 1])
