"""Estimators calibrated on a linear-Gaussian model, whose log-likelihood is exact.

An affine VAE with a fixed variance s^2 is p(x) = N(c, W'W + s^2 I), in standardised units off.
"""

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from backhand.data import load
from backhand.evaluation import CollapseWarning, as_json, evaluate
from backhand.model import Batch, DataSpec
from backhand.models.vae import VAE, VAEConfig
from backhand.noise import Noise

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
    with pytest.raises(ValueError, match="unknown bound 'ais'"):
        evaluate(model, data, bound="ais")
    with pytest.raises(ValueError, match="no test part"):
        evaluate(model, data)
    with pytest.raises(ValueError, match="k=0"):
        evaluate(model, data, k=0, split="train")


def test_json_holds_no_nan():
    model, data, _ = linear_gaussian(True)
    row = as_json(evaluate(model, data, split="train", limit=1))
    assert row["stderr"] is None
    assert row["n"] == 1
