"""Importance weights: known weights, estimators by quadrature, what is not finite, many samples."""

import itertools

import numpy as np
import pytest
import sympy
from scipy.special import logsumexp, softmax

from backhand.kernels import importance_weights
from backhand.numerics import log_mean_exp
from tests.kernels.harness import agree, needs, on_host

BACKENDS = on_host(importance_weights.OP)
each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
INF, NAN = np.inf, np.nan


@pytest.mark.equation("importance_weights.3", "importance_weights.5")
def test_the_derivative_of_the_bound_is_the_weight():
    """In symbols; and that of a weight, which the derivation of DReG uses."""
    logs = sympy.symbols("l0:3", real=True)
    w = [sympy.exp(v) for v in logs]
    bound = sympy.log(sum(w) / 3)
    for k, v in enumerate(logs):
        weight = w[k] / sum(w)
        assert sympy.simplify(sympy.diff(bound, v) - weight) == 0
        assert sympy.simplify(sympy.diff(weight, v) - weight * (1 - weight)) == 0


@pytest.mark.equation("importance_weights.4")
def test_effective_sample_size_in_symbols():
    logs = sympy.symbols("l0:3", real=True)
    w = [sympy.exp(v) for v in logs]
    normalised = [v / sum(w) for v in w]
    assert (
        sympy.simplify(sum(w) ** 2 / sum(v**2 for v in w) - 1 / sum(v**2 for v in normalised)) == 0
    )


@pytest.mark.equation("importance_weights.4")
@each_dtype
@each_backend
def test_effective_sample_size(backend, dtype):
    needs(backend)
    rng = np.random.default_rng(0)
    log_w = (3 * rng.standard_normal((40, 9)) - 700).astype(dtype)
    log_w[:, 0] = -700  # equal
    log_w[1:, 1] = -900  # one sample alone
    _, saved = importance_weights.forward(log_w, backend=backend)
    w = softmax(log_w.astype(np.float64), axis=0)
    tolerance = 2e-6 if dtype == np.float32 else 1e-14
    agree(importance_weights.ess(saved), 1 / (w * w).sum(axis=0), tolerance)
    assert np.allclose(importance_weights.ess(saved)[:2], [40, 1], rtol=1e-6)
    assert importance_weights.ess(saved).dtype == dtype
    agree(importance_weights.weights(saved, backend=backend), w, tolerance)


@each_backend
def test_the_bound_is_log_mean_exp(backend):
    needs(backend)
    log_w = 100 * np.random.default_rng(1).standard_normal((13, 17))
    bound, _ = importance_weights.forward(log_w, backend=backend)
    assert np.allclose(bound, log_mean_exp(log_w), rtol=1e-14)
    assert np.allclose(bound, logsumexp(log_w, axis=0) - np.log(13), rtol=1e-14)


@each_backend
@each_dtype
@pytest.mark.parametrize("shape", [(1, 3), (5000, 1), (5000, 3), (777, 70), (64, 300), (65, 129)])
def test_up_to_five_thousand_samples(shape, dtype, backend):
    """Weights of like size: thousands of terms of one sign in every sum."""
    needs(backend)
    rng = np.random.default_rng(2)
    log_w = (0.3 * rng.standard_normal(shape) - 1000).astype(dtype)
    d_bound = rng.standard_normal(shape[1]).astype(dtype)
    exact = log_w.astype(np.float64)
    w = softmax(exact, axis=0)
    tolerance = 2e-6 if dtype == np.float32 else 1e-13
    for estimator in importance_weights.ESTIMATORS:
        bound, saved = importance_weights.forward(log_w, estimator, backend=backend)
        agree(bound, logsumexp(exact, axis=0) - np.log(len(exact)), tolerance)
        found = importance_weights.backward(d_bound, saved, backend=backend)
        agree(found, (w * w if estimator == "dreg" else w) * d_bound, tolerance)
        agree(importance_weights.ess(saved), 1 / (w * w).sum(axis=0), tolerance)


@each_backend
@each_dtype
def test_columns_that_come_in_rising_order(dtype, backend):
    """A new maximum in every row, and the largest weight in the last or the first."""
    needs(backend)
    rising = np.linspace(-3000, 50, 1500)[:, None]
    log_w = np.concatenate([rising, rising[::-1], np.full((1500, 1), -1e30)], axis=1).astype(dtype)
    bound, saved = importance_weights.forward(log_w, backend=backend)
    exact = log_w.astype(np.float64)
    assert np.allclose(bound, logsumexp(exact, axis=0) - np.log(1500), rtol=1e-6)
    w = importance_weights.weights(saved, backend=backend)
    tiny = np.finfo(dtype).tiny
    # A difference of 87 is rounded to 4e-6 in float32, and so is the relative size of a weight.
    assert np.allclose(w, softmax(exact, axis=0), rtol=1e-5, atol=tiny)


# -- what is not finite --------------------------------------------------------------------

COLUMNS = [  # column, bound, weights, effective sample size
    ([-INF, -INF, -INF], -INF, [0, 0, 0], 0),
    ([-INF, 1.0, -INF], 1 - np.log(3), [0, 1, 0], 1),
    ([-INF, -5.0, -5.0], -5 + np.log(2 / 3), [0, 0.5, 0.5], 2),
    ([1.0, INF, 2.0], INF, [NAN] * 3, NAN),
    ([INF, INF, -INF], INF, [NAN] * 3, NAN),
    ([800.0, INF, -800.0], INF, [NAN] * 3, NAN),
    ([NAN, 1.0, 2.0], NAN, [NAN] * 3, NAN),
    ([1.0, 2.0, NAN], NAN, [NAN] * 3, NAN),
    ([-INF, -INF, NAN], NAN, [NAN] * 3, NAN),
    ([NAN, INF, 0.0], NAN, [NAN] * 3, NAN),
    ([INF, NAN, 0.0], NAN, [NAN] * 3, NAN),
    ([0.0, 0.0, 0.0], 0, [1 / 3] * 3, 3),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("estimator", importance_weights.ESTIMATORS)
@pytest.mark.parametrize("copies", [1, 3, 70])
@pytest.mark.parametrize("stretch", [1, 50])
@each_dtype
@each_backend
def test_columns_that_are_not_finite(backend, dtype, stretch, copies, estimator):
    """One rule in all backends.  stretch: of samples, by such of weight 0; copies: of columns."""
    needs(backend)
    columns = np.array([c for c, *_ in COLUMNS]).T  # (3, n)
    log_w = np.full((3 * stretch, columns.shape[1]), -INF)
    log_w[::stretch] = columns
    log_w = np.tile(log_w, copies).astype(dtype)
    bound, saved = importance_weights.forward(log_w, estimator, backend=backend)
    d_bound = np.linspace(1, 2, log_w.shape[1]).astype(dtype)
    gradient = importance_weights.backward(d_bound, saved, backend=backend)
    w = np.zeros((3 * stretch, columns.shape[1]))
    w[:, np.isnan([e for *_, e in COLUMNS])] = NAN
    w[::stretch] = np.array([w for _, _, w, _ in COLUMNS]).T
    w = np.tile(w, copies)
    one = np.tile([b for _, b, _, _ in COLUMNS], copies) - np.log(stretch)
    expected = [
        (bound, one),
        (importance_weights.weights(saved, backend=backend), w),
        (gradient, (w * w if estimator == "dreg" else w) * d_bound),
        (importance_weights.ess(saved), np.tile([e for *_, e in COLUMNS], copies)),
    ]
    for found, right in expected:
        assert found.dtype == dtype
        np.testing.assert_allclose(found, right, rtol=2e-6, atol=1e-6)


# -- estimators, by quadrature over the noise ----------------------------------------------

X, M, S = 1.3, 0.2, 0.8  # p: z ~ N(0, 1), x ~ N(z, 1) at x = X; q(z) = N(M, S^2)


def toy(mean, std, eps):
    """log w (K, n) and the derivatives of log p(x, z) and log q(z) by z."""
    z = mean + std * eps
    log_p = -np.log(2 * np.pi) - z * z / 2 - (X - z) ** 2 / 2
    log_q = -np.log(2 * np.pi) / 2 - np.log(std) - eps * eps / 2
    return log_p - log_q, X - 2 * z, -eps / std


def quadrature(K, nodes=36):
    """Noise (K, n) and its weights (n,): products of Gauss-Hermite rules."""
    eps, weight = np.polynomial.hermite_e.hermegauss(nodes)
    noise = np.array(list(itertools.product(eps, repeat=K))).T
    return noise, np.array(list(itertools.product(weight / weight.sum(), repeat=K))).prod(axis=1)


def expected_gradient(estimator, K, backend, squared=True):
    """E[d L_K / d (mean, log std)] of q, as a model would compute it from the seeds."""
    eps, weight = quadrature(K)
    log_w, dp, dq = toy(M, S, eps)
    planted = estimator if squared else "stl"
    _, saved = importance_weights.forward(log_w, planted, backend=backend)
    seed = importance_weights.backward(np.ones(eps.shape[1]), saved, backend=backend)
    dz = seed * (dp - dq)
    d_mean, d_log_std = dz, dz * S * eps  # the path
    if estimator == "iwae":  # the score, -d log q / d (mean, log std) at fixed z
        d_mean = d_mean - seed * eps / S
        d_log_std = d_log_std - seed * (eps * eps - 1)
    return np.array([(d.sum(axis=0) * weight).sum() for d in (d_mean, d_log_std)])


def exact_gradient(K):
    """The derivative of the bound's expectation itself."""
    eps, weight = quadrature(K)
    step = 1e-30
    by_mean = log_mean_exp(toy(M + 1j * step, S, eps)[0])
    by_log_std = log_mean_exp(toy(M, S * (1 + 1j * step), eps)[0])
    return np.array([(y.imag / step * weight).sum() for y in (by_mean, by_log_std)])


@pytest.mark.equation("importance_weights.5", "importance_weights.6")
@pytest.mark.parametrize("K", [1, 2, 3])
@each_backend
def test_iwae_and_dreg_have_the_expectation_of_the_exact_gradient(backend, K):
    needs(backend)
    right = exact_gradient(K)
    assert np.abs(right).min() > 0.03
    assert np.allclose(expected_gradient("iwae", K, backend), right, atol=1e-12)
    assert np.allclose(expected_gradient("dreg", K, backend), right, atol=1e-10)


@pytest.mark.equation("importance_weights.5")
@each_backend
def test_stl_is_unbiased_for_one_sample_and_biased_for_more(backend):
    needs(backend)
    assert np.allclose(expected_gradient("stl", 1, backend), exact_gradient(1), atol=1e-12)
    off = np.abs(expected_gradient("stl", 3, backend) - exact_gradient(3))
    assert off.max() > 0.3


@pytest.mark.parametrize("K", [2, 3])
def test_dreg_without_the_square_is_caught(K):
    off = np.abs(expected_gradient("dreg", K, "numpy", squared=False) - exact_gradient(K))
    assert off.max() > 0.1


@pytest.mark.equation("importance_weights.6")
@each_backend
def test_five_samples_by_chance(backend):
    """Published behaviour: equal means, and a spread of DReG that is far smaller."""
    needs(backend)
    eps = np.random.default_rng(3).standard_normal((5, 200_000))
    log_w, dp, dq = toy(M, S, eps)
    found = {}
    for estimator in importance_weights.ESTIMATORS:
        _, saved = importance_weights.forward(log_w, estimator, backend=backend)
        seed = importance_weights.backward(np.ones(eps.shape[1]), saved, backend=backend)
        score = seed * eps / S if estimator == "iwae" else 0
        found[estimator] = (seed * (dp - dq) - score).sum(axis=0)
    mean = {name: g.mean() for name, g in found.items()}
    spread = {name: g.std() for name, g in found.items()}
    error = {name: s / np.sqrt(eps.shape[1]) for name, s in spread.items()}
    assert abs(mean["iwae"] - mean["dreg"]) < 4 * (error["iwae"] + error["dreg"])
    assert abs(mean["dreg"] - 0.164) < 0.001
    assert abs(mean["stl"] - 0.739) < 0.005
    assert abs(spread["iwae"] - 0.747) < 0.01
    assert abs(spread["dreg"] - 0.047) < 0.002


# -- arguments -----------------------------------------------------------------------------


def test_wrong_arguments_say_what_is_wrong():
    log_w = np.zeros((3, 4))
    with pytest.raises(ValueError, match="unknown estimator 'elbo'; there are iwae, stl, dreg"):
        importance_weights.forward(log_w, "elbo")
    with pytest.raises(ValueError, match=r"log_w needs a sample or more, got \(0, 4\)"):
        importance_weights.forward(log_w[:0])
    with pytest.raises(ValueError, match=r"log_w must have shape \(K, B\), got \(3,\)"):
        importance_weights.forward(np.zeros(3))
    _, saved = importance_weights.forward(log_w)
    with pytest.raises(ValueError, match=r"d_bound must have shape \(B\) with B = 4 \(from log_w"):
        importance_weights.backward(np.zeros(3), saved)
    with pytest.raises(TypeError, match="positional"):  # there is no gradient of weights and ess
        importance_weights.backward(np.zeros(4), log_w, np.zeros(4), saved)
