"""Reading and writing through Gaussian filters: known answers, windows outside, channels."""

from dataclasses import replace

import numpy as np
import pytest

from backhand.kernels import attention_read, attention_write, filterbank
from tests.kernels.cases import attention_write as attention_write_cases
from tests.kernels.cases import filterbank as filterbank_cases
from tests.kernels.cases.attention_read import CASES
from tests.kernels.harness import available, check_backend, check_gradient
from tests.kernels.test_filterbank import head

each_backend = pytest.mark.parametrize("backend", available(CASES[0]))
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def images(rng, *shape):
    return rng.standard_normal(shape)


@each_backend
def test_read_is_the_double_sum(backend):
    rng = np.random.default_rng(0)
    heads, x, x_hat = images(rng, 2, 5) / 3, images(rng, 2, 2, 6, 7), images(rng, 2, 1, 6, 7)
    r, _ = attention_read.forward(heads, x, x_hat, 3, backend=backend)
    F_Y, F_X, gamma, _ = filterbank.forward(heads, 3, 6, 7)
    both = np.concatenate([x, x_hat], axis=1)
    right = np.einsum("bjy,bcyx,bix,b->bcji", F_Y, both, F_X, gamma)
    np.testing.assert_allclose(r, right, rtol=1e-12)
    alone, _ = attention_read.forward(heads, x, None, 3, backend=backend)
    np.testing.assert_allclose(alone, r[:, :2], rtol=1e-13)


@each_backend
def test_write_is_the_double_sum(backend):
    rng = np.random.default_rng(1)
    heads, w = images(rng, 2, 5) / 3, images(rng, 2, 3, 4, 4)
    c, _ = attention_write.forward(heads, w, 6, 7, backend=backend)
    F_Y, F_X, gamma, _ = filterbank.forward(heads, 4, 6, 7)
    right = np.einsum("bjy,bcji,bix,b->bcyx", F_Y, w, F_X, 1 / gamma)
    np.testing.assert_allclose(c, right, rtol=1e-12)


@each_backend
@each_dtype
def test_a_narrow_grid_on_the_pixels_is_the_identity(backend, dtype):
    """As many filters as pixels, each on its own: a write of a read gives the image back."""
    rng = np.random.default_rng(2)
    x = images(rng, 1, 2, 6, 6).astype(dtype)
    heads = head(log_s2=-6.0, log_gamma=0.8, dtype=dtype)
    r, _ = attention_read.forward(heads, x, None, 6, backend=backend)
    tolerance = 1e-5 if dtype == np.float32 else 1e-7
    np.testing.assert_allclose(r, np.exp(0.8) * x, rtol=tolerance, atol=tolerance)
    c, _ = attention_write.forward(heads, r, 6, 6, backend=backend)
    np.testing.assert_allclose(c, x, rtol=tolerance, atol=tolerance)


@each_backend
def test_a_constant_image_is_read_as_a_constant(backend):
    """Filters are averages; and a write spreads the patch's sum, divided by gamma."""
    heads = np.array([[0.1, -0.2, 0.0, -0.7, 0.4]])
    r, _ = attention_read.forward(heads, np.ones((1, 1, 20, 28)), None, 5, backend=backend)
    np.testing.assert_allclose(r, np.exp(0.4), rtol=1e-6)
    w = images(np.random.default_rng(3), 1, 1, 5, 5)
    c, _ = attention_write.forward(heads, w, 20, 28, backend=backend)
    np.testing.assert_allclose(c.sum(), w.sum() * np.exp(-0.4), rtol=1e-6)


@each_backend
def test_a_moved_image_is_read_by_a_moved_window(backend):
    rng = np.random.default_rng(4)
    x = np.zeros((1, 1, 24, 30))
    x[..., 8:16, 8:20] = images(rng, 8, 12)
    still = head(log_s2=-0.5, log_d=-1.2)
    moved = head(2 / 31, -2 / 25, log_s2=-0.5, log_d=-1.2)  # right by one pixel, up by one
    r, _ = attention_read.forward(still, x, None, 5, backend=backend)
    y = np.roll(x, (-1, 1), axis=(2, 3))
    r_moved, _ = attention_read.forward(moved, y, None, 5, backend=backend)
    np.testing.assert_allclose(r_moved, r, atol=1e-12)
    w = images(rng, 1, 1, 5, 5)
    c, _ = attention_write.forward(still, w, 24, 30, backend=backend)
    c_moved, _ = attention_write.forward(moved, w, 24, 30, backend=backend)
    np.testing.assert_allclose(c_moved[..., :-1, 1:], c[..., 1:, :-1], atol=1e-7)


@each_backend
@each_dtype
@pytest.mark.parametrize("eps", [0.0, 1e-8])
@pytest.mark.parametrize("log_s2", [-10.0, 0.0, 10.0])
@pytest.mark.parametrize("gx", [-30.0, -1.3, 1.1, 500.0])
def test_a_window_outside_is_finite(backend, dtype, eps, log_s2, gx):
    rng = np.random.default_rng(5)
    heads = head(gx, 0.2, log_s2, -1.0, 0.3, dtype)
    x, w = images(rng, 1, 1, 9, 12).astype(dtype), images(rng, 1, 1, 3, 3).astype(dtype)
    r, saved = attention_read.forward(heads, x, x, 3, eps, backend=backend)
    found = [r, *attention_read.backward(np.ones_like(r), saved, backend=backend)]
    c, saved = attention_write.forward(heads, w, 9, 12, eps, backend=backend)
    found += [c, *attention_write.backward(x, saved, backend=backend)]
    for y in found:
        assert np.isfinite(y).all()
    seen = np.abs(r).max()
    if abs(gx) > 20 and log_s2 <= 0:
        assert seen > 1e-3 if eps == 0 and log_s2 == 0 else seen == 0 or eps == 0


@each_backend
@each_dtype
def test_infinities_and_nan_stay_in_their_datum(backend, dtype):
    rng = np.random.default_rng(6)
    x = images(rng, 3, 1, 9, 13).astype(dtype)
    x[1, 0, 4, 5], x[1, 0, 8, 12] = np.nan, np.inf
    heads = np.repeat(head(log_s2=1.0, log_d=-0.5, dtype=dtype), 3, axis=0)
    r, saved = attention_read.forward(heads, x, None, 5, backend=backend)
    d_head, dx, _ = attention_read.backward(np.ones_like(r), saved, backend=backend)
    for y in (r, d_head, dx):
        assert np.isfinite(y[[0, 2]]).all()
    assert np.isnan(r[1]).any()
    assert np.isfinite(dx[1]).all()


@each_backend
def test_any_leading_axes(backend):
    rng = np.random.default_rng(7)
    heads, x = images(rng, 2, 3, 5) / 3, images(rng, 2, 3, 1, 6, 5)
    r, saved = attention_read.forward(heads, x, x, 4, backend=backend)
    flat, flat_saved = attention_read.forward(
        heads.reshape(6, 5), x.reshape(6, 1, 6, 5), x.reshape(6, 1, 6, 5), 4, backend=backend
    )
    np.testing.assert_array_equal(r.reshape(flat.shape), flat)
    found = attention_read.backward(r, saved, backend=backend)
    right = attention_read.backward(flat, flat_saved, backend=backend)
    for a, b in zip(found, right, strict=True):
        np.testing.assert_array_equal(a.reshape(b.shape), b)
    c, kept = attention_write.forward(heads, r, 6, 5, backend=backend)
    d_head, dw = attention_write.backward(c, kept, backend=backend)
    assert (c.shape, d_head.shape, dw.shape) == ((2, 3, 2, 6, 5), heads.shape, r.shape)
    one, kept = attention_write.forward(heads[0, 0], r[0, 0], 6, 5, backend=backend)
    np.testing.assert_allclose(one, c[0, 0], rtol=1e-12)
    assert attention_write.backward(one, kept, backend=backend)[0].shape == (5,)


ALL = [*filterbank_cases.CASES, *CASES, *attention_write_cases.CASES]


@each_backend
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_narrow_and_far_filters_in_double_precision(case, backend):
    """Where single precision has few digits left: windows across the edge, single pixels."""

    def inputs(rng, **sizes):
        _, *others = case.inputs(rng, **sizes)
        spread = np.array([1, 1, 1.5, 1, 1])
        return [spread * rng.standard_normal((sizes["B"], 5)) + [0, 0, 0, -0.5, 0], *others]

    wide = replace(case, inputs=inputs)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        check_gradient(wide, rng, {**case.sizes, "B": 3}, backend)
        check_backend(wide, rng, {**case.sizes, "B": 5}, backend, np.float64)


def test_wrong_arguments_say_what_is_wrong():
    x = np.zeros((2, 1, 6, 5))
    with pytest.raises(ValueError, match="attention_read: N must be an int of at least 2, got 1"):
        attention_read.forward(np.zeros((2, 5)), x, None, 1)
    with pytest.raises(ValueError, match="attention_read: W must be an int of at least 1, got 0"):
        attention_read.forward(np.zeros((2, 5)), x[..., :0], None, 2)
    with pytest.raises(ValueError, match=r"x_hat must have shape .* with W = 5"):
        attention_read.forward(np.zeros((2, 5)), x, np.zeros((2, 1, 6, 4)), 2)
    with pytest.raises(ValueError, match=r"with \.\.\. = \(3,\) \(from head\), got \(2, 1, 6, 5\)"):
        attention_read.forward(np.zeros((3, 5)), x, None, 2)
    with pytest.raises(ValueError, match="attention_write: N must be an int of at least 2, got 1"):
        attention_write.forward(np.zeros((2, 5)), np.zeros((2, 1, 1, 1)), 6, 5)
    with pytest.raises(ValueError, match=r"w must have shape .* with N = 3"):
        attention_write.forward(np.zeros((2, 5)), np.zeros((2, 1, 3, 4)), 6, 5)
    _, saved = attention_read.forward(np.zeros((2, 5)), x, x, 3)
    with pytest.raises(ValueError, match=r"dr must have shape \(\.\.\., 2, 3, 3\)"):
        attention_read.backward(np.zeros((2, 2, 3, 4)), saved)
