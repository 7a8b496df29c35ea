"""Estimators calibrated on a linear-Gaussian model, whose log-likelihood is exact.

An affine VAE with a fixed variance s^2 is p(x) = N(c, W'W + s^2 I), in standardised units off.
"""

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from backhand.data import load
from backhand.evaluation import CollapseWarning, _Moments, as_json, evaluate
from backhand.model import Batch, Bound, DataSpec, Gaussian
from backhand.models.vae import VAE, VAEConfig
from backhand.noise import Noise
from backhand.params import Params

N, D, Z, STD = 40, 5, 2, 0.6


def linear_gaussian(fit_posterior, dtype="float64"):
    """(model, data, exact log p(x) of each datum); its posterior exact, or the initial one."""
    rng = np.random.default_rng(0)
    config = VAEConfig(hidden=(), latent=Z, variance="fixed", std=STD, standardise=False)
    x = rng.standard_normal((N, D)) @ rng.standard_normal((D, D)) * 0.7
    model = VAE.create(config, DataSpec((D,), "real"), x, dtype=dtype)
    W = model.decoder.output.linear.W  # (Z, D)
    W[...] = rng.standard_normal((Z, D))
    c = model.decoder.output.linear.b
    exact = multivariate_normal(c, W.T @ W + STD**2 * np.eye(D)).logpdf(x)
    covariance = np.linalg.inv(np.eye(Z) + W @ W.T / STD**2)
    head = model.encoder.head.linear
    if fit_posterior:  # the exact posterior mean, and the best diagonal variance
        head.W[:, :Z] = W.T @ covariance / STD**2
        head.b[:Z] = -c @ head.W[:, :Z]
        head.W[:, Z:] = 0
        head.b[Z:] = -0.5 * np.log(np.diag(np.linalg.inv(covariance)))
    data = load(x, valid=0, kind="real")
    return model, data, exact


def exact_elbo(model, x):
    """The bound of the affine VAE in closed form."""
    q = model.encode(Batch(x, np.arange(len(x))))
    W, c = model.decoder.output.linear.W, model.decoder.output.linear.b
    var = np.exp(q.logvar)
    residual = ((x - q.mean @ W - c) ** 2).sum(1) + var @ (W**2).sum(1)
    likelihood = -0.5 * (residual / STD**2 + D * np.log(2 * np.pi * STD**2))
    return likelihood - 0.5 * (q.mean**2 + var - 1 - q.logvar).sum(1)


@pytest.mark.parametrize("fit_posterior", [True, False])
def test_elbo_is_calibrated(fit_posterior):
    model, data, exact = linear_gaussian(fit_posterior)
    found = np.mean(
        [evaluate(model, data, k=500, split="train", seed=s).per_example for s in range(20)], axis=0
    )
    spread = np.std(
        [evaluate(model, data, k=500, split="train", seed=s).per_example for s in range(20)], axis=0
    )
    bound = exact_elbo(model, data.train.x)
    assert (np.abs(found - bound) < 4.5 * spread / np.sqrt(20)).all()
    assert (bound < exact).all()


def test_ais_is_calibrated():
    model, data, exact = linear_gaussian(False)
    settings = {"bound": "ais", "split": "train", "leapfrogs": 5}
    rough, fine = (
        evaluate(model, data, k=8, temperatures=t, **settings).per_example.mean() for t in (3, 200)
    )
    assert rough < fine < exact.mean() + 0.05
    assert fine > exact.mean() - 0.1
    with pytest.raises(ValueError, match="at least 2"):
        evaluate(model, data, k=8, temperatures=1, **settings)


def test_iwae_is_calibrated_and_tightens_with_k():
    model, data, exact = linear_gaussian(True)
    nats = []
    for k in (1, 5, 50, 5000):
        runs = np.array(
            [
                evaluate(model, data, bound="iwae", k=k, split="train", seed=s).per_example
                for s in range(10)
            ]
        )
        nats.append(-runs.mean())
    assert np.allclose(runs.mean(axis=0), exact, atol=0.01)  # k = 5000
    assert nats == sorted(nats, reverse=True)
    # With k = 1 it is an unbiased estimate of the ELBO.
    elbo = exact_elbo(model, data.train.x)
    ones = np.array(
        [
            evaluate(model, data, bound="iwae", split="train", seed=s).per_example
            for s in range(2000)
        ]
    )
    error = ones.std(axis=0) / np.sqrt(len(ones))
    assert (np.abs(ones.mean(axis=0) - elbo) < 4.5 * error).all()


def test_importance_weights_are_unbiased_for_the_likelihood_itself():
    model, data, exact = linear_gaussian(True)
    log_w = model.log_weights(Batch(data.train.x, np.arange(N)), Noise(0), 100_000)
    ratio = np.exp(log_w - exact)
    error = ratio.std(axis=0) / np.sqrt(len(ratio))
    assert (np.abs(ratio.mean(axis=0) - 1) < 4.5 * error).all()


def test_a_wrong_estimator_is_caught():
    """The mean of the logs is not the log of the mean: the calibration must tell them apart."""
    model, data, exact = linear_gaussian(True)
    log_w = model.log_weights(Batch(data.train.x, np.arange(N)), Noise(0), 5000)
    assert np.abs(log_w.mean(axis=0) - exact).max() > 0.05


def test_terms_ess_and_units():
    model, data, _ = linear_gaussian(True)
    elbo = evaluate(model, data, k=200, split="train")
    iwae = evaluate(model, data, bound="iwae", k=200, split="train")
    assert np.isclose(elbo.nats, elbo.terms["kl"] - elbo.terms["likelihood"])
    assert np.isclose(iwae.terms["kl"], elbo.terms["kl"])
    assert np.isclose(iwae.terms["likelihood"], elbo.terms["likelihood"], rtol=0.02)
    assert elbo.ess is None
    assert 1 < iwae.ess < 200
    assert iwae.active_units == Z
    assert np.isclose(iwae.kl_per_unit.sum(), iwae.terms["kl"])
    assert np.isclose(iwae.stderr, iwae.per_example.std(ddof=1) / np.sqrt(N))


def test_ess_is_k_for_equal_weights():
    """The exact posterior of a model with one latent has equal weights: every sample counts."""
    config = VAEConfig(hidden=(), latent=1, variance="fixed", std=1.0, standardise=False)
    x = np.random.default_rng(0).standard_normal((30, 1))
    model = VAE.create(config, DataSpec((1,), "real"), x, dtype="float64")
    model.decoder.output.linear.W[...], model.decoder.output.linear.b[...] = 1.0, 0.0
    head = model.encoder.head.linear
    head.W[...], head.b[...] = [[0.5, 0.0]], [0.0, 0.5 * np.log(0.5)]
    result = evaluate(model, load(x, valid=0, kind="real"), bound="iwae", k=64, split="train")
    assert np.isclose(result.ess, 64)
    exact = multivariate_normal([0], [[2]]).logpdf(x)
    assert np.allclose(result.per_example, exact)


def test_results_do_not_depend_on_the_batch():
    model, data, _ = linear_gaussian(True)
    a = evaluate(model, data, bound="iwae", k=20, split="train", batch=7)
    b = evaluate(model, data, bound="iwae", k=20, split="train", batch=40)
    assert np.allclose(a.per_example, b.per_example, rtol=1e-12)


def test_memory_is_flat_in_k():
    rng = np.random.default_rng(0)
    x = (rng.random((200, 400)) < 0.5).astype(np.float32)
    model = VAE.create(VAEConfig(hidden=(8,), latent=3), DataSpec((400,), "binary"), x)
    data = load(x, valid=1)
    peaks = []
    for k in (1_000, 10_000):
        tracemalloc.start()
        evaluate(model, data, bound="iwae", k=k, split="train", limit=10)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_collapse_is_reported():
    model, data, _ = linear_gaussian(True)
    model.encoder.head.linear.W[...] = 0
    model.encoder.head.linear.b[...] = 0
    with pytest.warns(CollapseWarning, match="0 of 2 latent units are active"):
        evaluate(model, data, split="train")
    healthy, data, _ = linear_gaussian(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(healthy, data, split="train")


def test_wrong_use():
    model, data, _ = linear_gaussian(True)
    with pytest.raises(ValueError, match="unknown bound 'elbow'"):
        evaluate(model, data, bound="elbow")
    with pytest.raises(ValueError, match="no test part"):
        evaluate(model, data)
    with pytest.raises(ValueError, match="k=0"):
        evaluate(model, data, k=0, split="train")


def test_json_holds_no_nan():
    model, data, _ = linear_gaussian(True)
    row = as_json(evaluate(model, data, split="train", limit=1))
    assert row["stderr"] is None
    assert row["n"] == 1


class Known:
    """A stand-in for a model: log weights, posterior means and terms that are given."""

    def __init__(self, log_w, mean, kl):
        self.log_w, self.mean, self.kl = log_w, mean, kl
        self.params = Params(np.zeros(1), ())
        self.spec = DataSpec((2,), "real")

    def log_weights(self, batch, noise, k):
        return self.log_w[:k, batch.index]

    def encode(self, batch):
        return Gaussian(self.mean[batch.index], np.zeros_like(self.mean[batch.index]))

    def bound(self, batch, noise, k=1):
        kl = self.kl[batch.index]
        terms = {"likelihood": -3.0 * np.ones(len(kl)), "kl": kl.sum(axis=1)}
        first = float(
            noise.first
        )  # samples first .. first + k - 1 have values equal to their number
        value = np.full(len(kl), np.mean(np.arange(first, first + k)))
        return Bound(value, terms, value, None, kl)


def known(log_w, mean=None, kl=None):
    n = log_w.shape[1]
    mean = np.linspace(-9, 9, n)[:, None] if mean is None else mean
    data = load(np.random.default_rng(0).standard_normal((n, 2)), valid=0)
    return Known(log_w, mean, np.ones((n, 1)) if kl is None else kl), data


def test_ess_and_bound_of_known_weights():
    shift = np.array([50.0, 0, -900])
    log_w = np.log([[1.0, 1, 3], [1, 0.5, 1], [1, 0.25, 1]]) + shift
    with np.errstate(all="raise"):
        result = evaluate(*known(log_w), bound="iwae", k=3, split="train")
    w = np.exp(log_w - shift)
    assert np.isclose(result.ess, (w.sum(0) ** 2 / (w**2).sum(0)).mean(), rtol=1e-14)
    expected = np.log(w.mean(axis=0)) + shift
    assert np.allclose(result.per_example, expected, rtol=1e-14)
    assert result.terms == {"likelihood": -3.0, "kl": 1.0}


def test_rows_without_weight_are_said_to_have_none():
    log_w = np.array([[-np.inf, 0.0, -np.inf], [-np.inf, -np.inf, 1.0]])
    with np.errstate(invalid="ignore"):  # the standard error of an infinite mean
        result = evaluate(*known(log_w), bound="iwae", k=2, split="train")
    assert result.per_example.tolist() == [-np.inf, np.log(0.5), 1 + np.log(0.5)]
    assert np.isclose(result.ess, 2 / 3)
    assert as_json(result)["nats"] is None


def test_float32_weights_are_combined_in_float64():
    log_w = np.zeros((4097, 2), np.float32)
    log_w[0] = 20  # in float32 the sum would lose the small ones
    result = evaluate(*known(log_w), bound="iwae", k=4097, split="train")
    assert np.allclose(result.per_example, np.log((np.exp(20) + 4096) / 4097), rtol=1e-15)


def test_active_units_are_those_above_the_threshold():
    rows = np.array([1.0, -1.0])[:, None] * np.sqrt([[0.05, 0.009, 0.011]])
    result = evaluate(*known(np.zeros((1, 2)), rows, np.ones((2, 3))), split="train")
    assert (result.active_units, result.units) == (2, 3)
    assert result.kl_per_unit.tolist() == [1, 1, 1]


def test_elbo_takes_its_samples_in_pieces():
    for k in (1, 16, 17, 50):
        result = evaluate(*known(np.zeros((1, 3))), k=k, split="train")
        assert np.allclose(result.per_example, (k - 1) / 2)
        assert np.isclose(result.terms["kl"], 1)


def test_limit_takes_the_first_data():
    model, data, _ = linear_gaussian(True)
    whole = evaluate(model, data, split="train", k=3)
    part = evaluate(model, data, split="train", k=3, limit=7)
    assert np.allclose(part.per_example, whole.per_example[:7])


def test_data_of_another_kind_are_refused():
    model, _, _ = linear_gaussian(True)
    bits = load(np.eye(D), valid=0)
    with pytest.raises(ValueError, match="holds binary data, the model was made for real data"):
        evaluate(model, bits, split="train")


@pytest.mark.parametrize(("bound", "hidden"), [("elbo", 400), ("iwae", 400)])
def test_memory_is_flat_in_k_for_wide_networks(bound, hidden):
    x = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    model = VAE.create(VAEConfig(hidden=(hidden,), latent=2), DataSpec((2,), "real"), x)
    data = load(x, valid=0)
    peaks = []
    for k in (200, 2000):
        tracemalloc.start()
        evaluate(model, data, bound=bound, k=k, split="train")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_moments_in_parts_are_those_of_the_whole():
    rows = np.random.default_rng(0).normal(1e6, [1.0, 3.0], (50, 2)) + np.arange(50)[:, None]
    sums = _Moments()
    for part in (rows[:7], rows[7:8], rows[8:]):
        sums.add(part)
    np.testing.assert_allclose(sums.mean, rows.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(sums.variance, rows.var(axis=0), rtol=1e-9)
