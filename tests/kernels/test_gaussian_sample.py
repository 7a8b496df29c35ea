"""Gaussian samples far out, over long sums, and beside the density op; see also cases/."""

from importlib import import_module

import numpy as np
import pytest

from backhand import use_backend
from backhand.backend import backends
from backhand.kernels import gaussian_density, gaussian_sample
from backhand.numerics import LOG_2PI
from tests.kernels import harness
from tests.tolerances import FLOAT32, FLOAT64

each_backend = pytest.mark.usefixtures("backend")
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(params=["numpy", "numba", "native"])
def backend(request):
    harness.needs(request.param)
    with use_backend(request.param):
        yield request.param


def drawn(*shapes, dtype=np.float64):
    rng = np.random.default_rng(3)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


@each_backend
@each_dtype
@pytest.mark.parametrize("s", [-40, 40])
def test_finite_far_out(dtype, s):
    stats, eps = np.array([[3, 3, s, s]], dtype), np.array([[[0.5, -1.5]]], dtype)
    z, log_q, log_n, saved = gaussian_sample.forward(stats, eps)
    wide = np.exp(np.float64(s)) * np.array([0.5, -1.5]) + 3
    assert np.allclose(z[0, 0], wide, rtol=1e-6)
    assert np.allclose(log_q, -0.5 * 2.5 - 2 * s - LOG_2PI, rtol=1e-6)
    assert np.allclose(log_n, -0.5 * (wide**2).sum() - LOG_2PI, rtol=1e-6)
    one = np.ones((1, 1), dtype)
    dstats, deps = gaussian_sample.backward(np.ones_like(z), one, one, saved)
    for found in (dstats, deps):
        assert np.isfinite(found).all()


@each_backend
def test_log_q_is_the_density_at_the_sample():
    stats, eps = drawn((4, 10), (3, 4, 5))
    z, log_q, log_n, _ = gaussian_sample.forward(stats, eps)
    mean, logvar = stats[:, :5] + 0 * z, 2 * stats[:, 5:] + 0 * z
    for k in range(3):
        right, _ = gaussian_density.forward(z[k].copy(), mean[k], logvar[k])
        assert np.allclose(log_q[k], right, rtol=1e-12)
        right, _ = gaussian_density.forward(z[k].copy(), 0 * mean[k], 0 * logvar[k])
        assert np.allclose(log_n[k], right, rtol=1e-12)


@each_backend
@each_dtype
@pytest.mark.parametrize(("K", "B", "Z"), [(200, 2, 33), (65, 9, 3), (1, 5, 5000), (2, 3, 1027)])
def test_long_sums(K, B, Z, dtype):
    """Terms of one sign, which lose digits where they are added one by one; blocks of rows."""
    stats, eps = drawn((B, 2 * Z), (K, B, Z))
    stats, eps = (1 + 0.1 * stats).astype(dtype), (1 + 0.1 * eps).astype(dtype)
    *found, saved = gaussian_sample.forward(stats, eps)
    cotangents = [np.abs(d).astype(dtype) for d in drawn((K, B, Z), (K, B), (K, B))]
    found += gaussian_sample.backward(*cotangents, saved)
    wide = [x.astype(np.float64) for x in (stats, eps, *cotangents)]
    *right, kept = gaussian_sample.forward(*wide[:2], backend="numpy")
    right += gaussian_sample.backward(*wide[2:], kept, backend="numpy")
    tolerance = 1e-6 if dtype == np.float32 else FLOAT64
    for a, b in zip(found, right, strict=True):
        assert a.dtype == dtype
        harness.agree(a, b, tolerance)


@each_dtype
def test_calls_that_are_checked_in_one_place_alone(backend, dtype):
    """What C++ takes as it is, and what it leaves to the front door, give the same."""
    stats, eps = drawn((4, 10), (3, 4, 5), dtype=dtype)
    cotangents = drawn((3, 4, 5), (3, 4), (3, 4), dtype=dtype)
    gaussian_sample.forward(stats, eps)  # from now on the module is loaded
    *usual, saved = gaussian_sample.forward(stats, eps)
    assert not usual[0].flags.writeable
    usual += gaussian_sample.backward(*cotangents, saved)
    strided = [np.repeat(x, 2, axis=-1)[..., ::2] for x in (stats, eps, *cotangents)]
    if backends()["native"].available:
        native = gaussian_sample.OP.implementation("native")
        assert native.unchecked(stats, eps) is not None
        assert native.unchecked(*strided[:2]) is None
    *unusual, saved = gaussian_sample.forward(*strided[:2])
    assert not unusual[0].flags.writeable
    unusual += gaussian_sample.backward(*strided[2:], saved)
    for a, b in zip(usual, unusual, strict=True):
        harness.agree(a, b, FLOAT32 if dtype == np.float32 else FLOAT64)


@each_backend
@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((4, 9), (4, 5)), r"stats must have shape \(\.\.\., 2\*Z\) with Z = 5 \(from eps\)"),
        (((4, 10), (3, 5, 5)), r"eps must have shape .* with \.\.\. = \(4,\) \(from stats\)"),
        (((3, 4, 10), (4, 5)), r"eps must have shape .* with \.\.\. = \(3, 4\)"),
        (((10,), ()), r"eps must have shape \(\*\.\.\., Z\)"),
        (((), (5,)), r"stats must have shape \(\.\.\., 2\*Z\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, words):
    right = drawn((4, 10), (3, 4, 5))
    for _ in range(2):  # the second call is looked at in C++ first
        gaussian_sample.forward(*right)
        with pytest.raises(ValueError, match=f"gaussian_sample: {words}"):
            gaussian_sample.forward(*drawn(*shapes))


@pytest.mark.parametrize("number", range(6))
def test_cpp_holds_each_shape_against_the_others(number):
    """By itself, as usual calls reach it."""
    harness.needs("native")
    native = import_module("backhand._native").gaussian_sample
    right = drawn((2, 4, 5), (2, 4), (2, 4), (4, 10), (2, 4, 5), (2, 4, 5))

    def refused(error, wrong):
        with pytest.raises(error):
            native.backward(*right[:number], wrong, *right[number + 1 :], True)

    native.backward(*right, True)
    shape = right[number].shape
    shorter = () if number == 3 else shape[1:]  # (10,) would serve all rows
    for wrong in ((*shape[:-1], shape[-1] + 1), (shape[0] + 1, *shape[1:]), shorter, (1, *shape)):
        refused(ValueError, np.zeros(wrong))
    refused(TypeError, right[number].astype(np.float32))
    refused(TypeError, np.repeat(right[number], 2, axis=-1)[..., ::2])
