"""The fused Adam update against the published algorithm, written out in plain float64."""

from pathlib import Path

import numpy as np
import pytest

from backhand import use_backend
from backhand.kernels import adam
from backhand.kernels.adam import reference
from backhand.kernels.adam.reference import BLOCK
from tests.kernels import harness

SIZES = [0, 1, 5, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7]
SETTINGS = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-3}


@pytest.fixture(autouse=True, params=harness.on_host(adam.OP))
def _backend(request):
    harness.needs(request.param)
    with use_backend(request.param):
        yield


def published(theta, grads, *, lr, beta1, beta2, eps, weight_decay=0.0, scale=1.0, correct=True):
    """Kingma & Ba, algorithm 1, with Loshchilov & Hutter's decay; (theta, m, v) in float64."""
    theta = theta.astype(np.float64)
    m = np.zeros_like(theta)
    v = np.zeros_like(theta)
    for t, grad in enumerate(grads, 1):
        g = scale * grad.astype(np.float64)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t) if correct else m
        v_hat = v / (1 - beta2**t) if correct else v
        theta = theta - lr * m_hat / (np.sqrt(v_hat) + eps) - lr * weight_decay * theta
    return theta, m, v


def problem(n, dtype, steps=6, seed=0):
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal(n).astype(dtype)
    # Sizes of gradients that matter on both sides of eps, and exact zeros.
    sizes = 10.0 ** rng.uniform(-6, 3, n)
    grads = [(sizes * rng.standard_normal(n)).astype(dtype) for _ in range(steps)]
    for g in grads:
        g[::7] = 0
    return theta, grads


def run(theta, grads, **settings):
    theta = theta.copy()
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, grad in enumerate(grads, 1):
        adam.update(theta, grad, m, v, step=t, **settings)
    return theta, m, v


def difference(ours, expected, size=1.0):
    """Largest error, in units of the dtype's eps times the size of what was summed."""
    info = np.finfo(ours.dtype)
    unit = info.eps * (size + np.abs(expected)) + info.tiny
    return float(np.max(np.abs(ours - expected) / unit, initial=0.0))


# Six steps of a dozen roundings of half an eps, of which the larger ones are scaled by lr.
ULPS = 4


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.equation("adam.2")
@pytest.mark.equation("adam.3")
@pytest.mark.equation("adam.4")
@pytest.mark.equation("adam.5")
@pytest.mark.equation("adam.6")
def test_equals_the_published_algorithm(n, dtype):
    theta, grads = problem(n, dtype)
    ours, expected = run(theta, grads, **SETTINGS), published(theta, grads, **SETTINGS)
    largest = np.max(np.abs(grads, dtype=np.float64), axis=0)
    for got, want, size in zip(ours, expected, (1, largest, largest**2), strict=True):
        assert got.dtype == dtype
        assert difference(got, want, size) < ULPS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.equation("adam.1")
@pytest.mark.equation("adam.7")
def test_scale_and_decoupled_decay(dtype):
    theta, grads = problem(1000, dtype)
    extra = {"scale": 0.37, "weight_decay": 0.2}
    expected = published(theta, grads, **SETTINGS, **extra)
    assert difference(run(theta, grads, **SETTINGS, **extra)[0], expected[0]) < ULPS
    for name in extra:
        without = {key: value for key, value in extra.items() if key != name}
        assert difference(run(theta, grads, **SETTINGS, **without)[0], expected[0]) > 1000 * ULPS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_comparison_catches_a_missing_bias_correction(dtype):
    theta, grads = problem(1000, dtype)
    wrong = published(theta, grads, **SETTINGS, correct=False)[0]
    assert difference(run(theta, grads, **SETTINGS)[0], wrong) > 1000 * ULPS


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_setting_changes_the_outcome(name):
    theta, grads = problem(100, "float64")
    changed = SETTINGS | {name: 0.5 * SETTINGS[name]}
    assert difference(run(theta, grads, **changed)[0], run(theta, grads, **SETTINGS)[0]) > 1e6


@pytest.mark.equation("adam.7")
def test_small_decay_is_not_rounded_away_in_float32():
    theta = np.random.default_rng(1).uniform(0.5, 1, 2000).astype(np.float32)
    start = theta.astype(np.float64)
    m, v, zero = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
    for t in range(1, 1001):
        adam.update(theta, zero, m, v, step=t, **SETTINGS | {"lr": 1e-3}, weight_decay=0.01)
    lost = np.mean(start - theta) / np.mean(start * (1 - (1 - 1e-5) ** 1000))
    assert abs(lost - 1) < 1e-3  # the factor 1 - 1e-5 in float32 would be off by 1.4e-3


def test_slices_give_the_same_bits_as_the_whole():
    theta, grads = problem(BLOCK + 100, "float32")
    whole = run(theta, grads, **SETTINGS)
    cut = 777
    parts = [run(theta[s], [g[s] for g in grads], **SETTINGS) for s in (np.s_[:cut], np.s_[cut:])]
    for array, first, second in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(array, np.concatenate([first, second]))


def test_writes_in_place_and_only_reads_the_gradient():
    theta, (grad, *_) = problem(50, "float32")
    long = np.full(60, 7, np.float32)
    view = long[5:55]
    view[:] = theta
    kept = grad.copy()
    m, v = np.zeros_like(grad), np.zeros_like(grad)
    adam.update(view, grad, m, v, step=1, **SETTINGS)
    np.testing.assert_array_equal(grad, kept)
    np.testing.assert_array_equal(view, run(theta, [grad], **SETTINGS)[0])
    assert (long[:5] == 7).all()
    assert (long[55:] == 7).all()


def test_the_first_step_is_the_sign_of_the_gradient():
    theta = np.zeros(4)
    grad = np.array([3.0, -1e6, 1e-3, 0.0])
    settings = SETTINGS | {"eps": 1e-12}
    theta, _, _ = run(theta, [grad], **settings)
    np.testing.assert_allclose(theta, [-0.01, 0.01, -0.01, 0.0], rtol=1e-8)


def test_numpy_scalars_do_not_lift_float32():
    theta, grads = problem(100, "float32")
    scalars = {name: np.float64(value) for name, value in SETTINGS.items()}
    for a, b in zip(run(theta, grads, **scalars), run(theta, grads, **SETTINGS), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"grad": np.zeros(3)}, ValueError, r"adam: grad must have shape \(n\) with n = 4"),
        ({"m": np.zeros(4, np.float32)}, TypeError, "adam: m is float32 but grad is float64"),
        ({"theta": np.zeros((2, 2))}, ValueError, r"adam: theta must have shape \(n\)"),
        ({"step": 0}, ValueError, "step counts updates from 1, got 0"),
        ({"beta1": 1.0}, ValueError, r"beta1 must be in \[0, 1\), got 1.0"),
        ({"beta2": -0.1}, ValueError, r"beta2 must be in \[0, 1\)"),
        ({"eps": 0.0}, ValueError, "eps must be positive"),
        ({"lr": float("nan")}, ValueError, "lr must be finite"),
        ({"scale": float("inf")}, ValueError, "scale must be finite"),
        ({"weight_decay": -1.0}, ValueError, "weight_decay must be finite and not negative"),
    ],
)
def test_refuses_wrong_arguments_before_writing(change, error, message):
    arrays = {name: np.ones(4) for name in ("theta", "grad", "m", "v")}
    arguments = arrays | {"step": 1} | SETTINGS | change
    kept = {name: arguments[name].copy() for name in arrays}
    positional = [arguments.pop(name) for name in ("theta", "grad", "m", "v")]
    with pytest.raises(error, match=message):
        adam.update(*positional, **arguments)
    for array, old in zip(positional, kept.values(), strict=True):
        np.testing.assert_array_equal(array, old)


def test_refuses_complex_and_integer_vectors():
    for dtype in (np.complex128, np.int64):
        arrays = [np.zeros(2, dtype) for _ in range(4)]
        with pytest.raises(TypeError, match=r"adam: theta must be (float32 or float64|real), got"):
            adam.update(*arrays, step=1, **SETTINGS)


def test_every_equation_stands_in_the_reference():
    text = Path(reference.__file__).read_text(encoding="utf-8")
    derivation = Path(reference.__file__).with_name("DERIVATION.md").read_text(encoding="utf-8")
    for number in range(1, 8):
        assert f"# [adam.{number}]" in text
        assert f"\\tag{{adam.{number}}}" in derivation
