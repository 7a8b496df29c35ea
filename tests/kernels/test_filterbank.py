"""Filters: where they lie, what they are at the edge, outside, and when narrow or broad."""

import numpy as np
import pytest
import sympy as sp

from backhand.kernels import filterbank
from tests.kernels.cases.filterbank import CASES
from tests.kernels.harness import available

SIDES = [(28, 28, 5), (28, 20, 5), (20, 28, 4), (7, 31, 2), (60, 60, 8), (5, 5, 16)]
BACKENDS = available(CASES[0])
each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def head(gx=0.0, gy=0.0, log_s2=0.0, log_d=0.0, log_gamma=0.0, dtype=np.float64):
    return np.array([[gx, gy, log_s2, log_d, log_gamma]], dtype)


def centres(gx, gy, log_d, N, height, width):
    """[filterbank.1] to [filterbank.3] as the paper has them, pixels from 1, one by one."""
    g_X, g_Y = (width + 1) / 2 * (gx + 1), (height + 1) / 2 * (gy + 1)
    delta = (max(height, width) - 1) / (N - 1) * np.exp(log_d)
    offsets = [(i - N / 2 - 0.5) * delta for i in range(1, N + 1)]
    return [g_Y + o - 1 for o in offsets], [g_X + o - 1 for o in offsets]  # pixels from 0


@pytest.mark.parametrize(("height", "width", "N"), SIDES)
@each_backend
def test_filters_are_those_of_the_paper(backend, height, width, N):
    """Written out in plain loops from the definition, eps and all."""
    gx, gy, log_s2, log_d, log_gamma, eps = 0.2, -0.4, -0.3, -0.2, 0.7, 1e-4
    F_Y, F_X, gamma, _ = filterbank.forward(
        head(gx, gy, log_s2, log_d, log_gamma), N, height, width, eps, backend=backend
    )
    mu_Y, mu_X = centres(gx, gy, log_d, N, height, width)
    for F, mu, size in ((F_Y, mu_Y, height), (F_X, mu_X, width)):
        assert F.shape == (1, N, size)
        for i in range(N):
            e = [np.exp(-((a - mu[i]) ** 2) / (2 * np.exp(log_s2))) for a in range(size)]
            np.testing.assert_allclose(
                F[0, i], np.array(e) / (sum(e) + eps), rtol=1e-11, atol=1e-300
            )
    np.testing.assert_allclose(gamma, np.exp(log_gamma), rtol=1e-15)


@pytest.mark.parametrize(("height", "width", "N"), SIDES)
@each_backend
def test_the_first_grid_covers_the_longer_side(backend, height, width, N):
    """Outer filters on the first and last pixel; the shorter side is overshot alike."""
    F_Y, F_X, _, _ = filterbank.forward(head(log_s2=-4), N, height, width, 0.0, backend=backend)
    long, short = (F_X, F_Y) if width >= height else (F_Y, F_X)
    assert long[0, 0].argmax() == 0
    assert long[0, -1].argmax() == max(height, width) - 1
    np.testing.assert_allclose(long[0, 0], long[0, -1, ::-1], atol=1e-12)
    np.testing.assert_allclose(short[0, 0], short[0, -1, ::-1], atol=1e-12)
    if height == width:
        np.testing.assert_array_equal(F_X, F_Y)


@each_backend
def test_one_pixel_further(backend):
    """gx~ larger by 2 / (W + 1) moves every filter by one pixel, nothing else."""
    height, width, N, far = 11, 20, 4, {"log_s2": -2.0, "log_d": -2.0}
    F_Y, F_X, _, _ = filterbank.forward(head(**far), N, height, width, backend=backend)
    G_Y, G_X, _, _ = filterbank.forward(
        head(gx=2 / (width + 1), gy=-2 / (height + 1), **far), N, height, width, backend=backend
    )
    np.testing.assert_allclose(G_X[..., 1:], F_X[..., :-1], atol=1e-13)
    np.testing.assert_allclose(G_Y[..., :-1], F_Y[..., 1:], atol=1e-13)
    assert F_X[0, :, 5:15].max() > 0.5


@each_backend
@each_dtype
def test_inside_the_rows_sum_to_one(backend, dtype):
    F_Y, F_X, _, _ = filterbank.forward(head(dtype=dtype), 5, 28, 20, backend=backend)
    inside = [F_X[0, 1:-1], F_Y[0]]
    for F in inside:
        np.testing.assert_allclose(F.sum(axis=-1), 1, atol=1e-6 if dtype == np.float32 else 2e-8)


FAR = [(3.0, 0.0), (-40.0, 0.0), (1e4, -3.0), (-1e4, 3.0), (1e12, 0.0)]


@each_backend
@each_dtype
@pytest.mark.parametrize(("gx", "log_s2"), FAR)
@pytest.mark.parametrize("eps", [0.0, 1e-8])
def test_far_outside(backend, dtype, gx, log_s2, eps):
    """eps = 0: the nearest pixel of the edge has all weight; eps > 0: nothing is seen."""
    F_Y, F_X, gamma, saved = filterbank.forward(
        head(gx=gx, log_s2=log_s2, log_d=-2.0, dtype=dtype), 3, 9, 28, eps, backend=backend
    )
    edge = 27 if gx > 0 else 0
    expected = np.zeros(28)
    expected[edge] = 1 if eps == 0 else 0
    np.testing.assert_allclose(F_X[0], np.tile(expected, (3, 1)), atol=1e-5)
    np.testing.assert_allclose(F_Y[0].sum(axis=-1), 1, atol=1e-6)  # the other side is as it was
    rng = np.random.default_rng(0)
    cotangents = [rng.standard_normal(y.shape).astype(dtype) for y in (F_Y, F_X, gamma)]
    d_head = filterbank.backward(*cotangents, saved, backend=backend)
    assert np.isfinite(d_head).all()
    assert abs(d_head[0, 0]) < 1e-3
    assert np.abs(d_head[0, 1:]).min() > 1e-6


@each_backend
@each_dtype
@pytest.mark.parametrize("log_s2", [-300.0, -60.0, -10.0, 40.0, 300.0])
@pytest.mark.parametrize("eps", [0.0, 1e-8])
def test_extreme_widths(backend, dtype, log_s2, eps):
    """Narrow: the pixel itself (or, between two, the nearer or nothing).  Broad: all alike."""
    size, N = 8, 3  # filters at 0, 3.5, 7
    F_Y, F_X, gamma, saved = filterbank.forward(
        head(gx=0.02, gy=0.02, log_s2=log_s2, dtype=dtype), N, size, size, eps, backend=backend
    )
    expected = np.full((N, size), 1 / size)
    if log_s2 < 0:  # 0.09 of a pixel beyond the pixels 0 and 7, and beyond 3.5
        expected = np.zeros((N, size))
        expected[[0, 1, 2], [0, 4, 7]] = 1 if eps == 0 else 0
    np.testing.assert_allclose(F_X[0], expected, atol=1e-6)
    assert np.isfinite(F_X).all()
    cotangents = [
        np.ones(y.shape, dtype) * np.arange(y.shape[-1]).astype(dtype) for y in (F_Y, F_X)
    ]
    d_head = filterbank.backward(*cotangents, np.ones_like(gamma), saved, backend=backend)
    np.testing.assert_allclose(d_head[0, :4], 0, atol=1e-5)
    assert d_head[0, 4] == 1


@each_backend
def test_a_narrow_filter_on_a_pixel_copies_it(backend):
    F_Y, _, _, _ = filterbank.forward(head(log_s2=-300.0), 3, 9, 9, backend=backend)
    np.testing.assert_allclose(F_Y[0], np.eye(9)[[0, 4, 8]], atol=1e-7)


@pytest.mark.parametrize("backend", [b for b in BACKENDS if b != "numpy"])
@pytest.mark.parametrize("eps", [0.0, 1e-8, 0.3])
def test_windows_across_the_edge_in_single_precision(backend, eps):
    """Narrow and far filters against float64, where a logit l is known to about l * 1e-7."""
    rng = np.random.default_rng(3)
    heads = rng.standard_normal((500, 5)) * np.array([0.8, 0.8, 1.5, 0.5, 1.0])
    heads = heads.astype(np.float32)
    *low, saved = filterbank.forward(heads, 5, 28, 20, eps, backend=backend)
    *high, exact = filterbank.forward(heads.astype(np.float64), 5, 28, 20, eps)
    for found, right in zip(low, high, strict=True):
        np.testing.assert_allclose(found, right, rtol=2e-6, atol=3e-5)
    seeds = [rng.standard_normal(y.shape).astype(np.float32) for y in low]
    found = filterbank.backward(*seeds, saved, backend=backend)
    right = filterbank.backward(*(d.astype(np.float64) for d in seeds), exact)
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4 * np.abs(right).max())


@each_backend
@each_dtype
def test_nan_stays_in_its_row(backend, dtype):
    heads = np.repeat(head(dtype=dtype), 3, axis=0)
    heads[1, 0] = np.nan
    _, F_X, _, _ = filterbank.forward(heads, 5, 28, 28, backend=backend)
    assert np.isnan(F_X[1]).all()
    assert np.isfinite(F_X[[0, 2]]).all()


@pytest.mark.equation("filterbank.7", "filterbank.8", "filterbank.9", "filterbank.11")
@pytest.mark.equation("filterbank.5", "filterbank.10")
def test_entry_derivatives_by_sympy():
    """Four pixels, one filter of three: every derivative of sum(dF F) as the backward has it."""
    size, N, i = 4, 3, 2
    g, log_s2, log_d, eps = sp.symbols("g log_s2 log_d eps", real=True)
    dF = sp.symbols("d:4", real=True)
    delta = sp.Rational(size - 1, N - 1) * sp.exp(log_d)
    mu = sp.Rational(size + 1, 2) * (g + 1) - 1 + (i - sp.Rational(N - 1, 2)) * delta
    s2 = sp.exp(log_s2)
    e = [sp.exp(-((a - mu) ** 2) / (2 * s2)) for a in range(size)]
    F = [x / (sum(e) + eps) for x in e]
    total = sum(d * f for d, f in zip(dF, F, strict=True))
    E = [f * (d - total) for d, f in zip(dF, F, strict=True)]
    dmu = sum(x * (a - mu) for a, x in enumerate(E)) / s2
    ours = {
        g: sp.Rational(size + 1, 2) * dmu,
        log_s2: sum(x * (a - mu) ** 2 for a, x in enumerate(E)) / (2 * s2),
        log_d: delta * dmu * (i - sp.Rational(N - 1, 2)),
    }
    point = {g: "0.3", log_s2: "-0.2", log_d: "-0.4", eps: "0.05"}
    point |= dict(zip(dF, ("0.7", "-1.1", "0.4", "2"), strict=True))
    point = {symbol: sp.Rational(value) for symbol, value in point.items()}
    for symbol, formula in ours.items():
        difference = sp.N((sp.diff(total, symbol) - formula).subs(point), 40)
        assert abs(difference) < 1e-30
        assert abs(sp.N(formula.subs(point))) > 1e-3


@pytest.mark.equation("filterbank.4")
def test_the_logits_difference_by_sympy():
    a, n, mu, s2 = sp.symbols("a n mu s2")
    k, f = a - n, mu - n
    difference = -((a - mu) ** 2) / (2 * s2) + (n - mu) ** 2 / (2 * s2)
    assert sp.simplify(difference + k * (k - 2 * f) / (2 * s2)) == 0


def test_wrong_sizes_say_what_is_wrong():
    with pytest.raises(ValueError, match="filterbank: N must be an int of at least 2, got 1"):
        filterbank.forward(head(), 1, 28, 28)
    with pytest.raises(ValueError, match="filterbank: width must be an int of at least 1, got 0"):
        filterbank.forward(head(), 2, 28, 0)
    with pytest.raises(ValueError, match=r"filterbank: eps must be a finite number >= 0, got -1"):
        filterbank.forward(head(), 2, 28, 28, -1)
    with pytest.raises(ValueError, match=r"head must have shape \(\.\.\., 5\), got \(1, 4\)"):
        filterbank.forward(head()[:, :4], 2, 28, 28)
