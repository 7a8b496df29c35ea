"""Annealed importance sampling against linear-Gaussian models, whose log p(x) is exact."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from backhand import annealing
from backhand.model import Batch, DataSpec
from backhand.models.iwae import IWAE, IWAEConfig
from backhand.models.vae import VAE, VAEConfig
from backhand.noise import Noise

N, D, STD = 30, 6, 0.8


def linear(Z, seed=0):
    """(model, the noise u of its data, the data, exact log p(x), exact posterior of u)."""
    rng = np.random.default_rng(seed)
    config = VAEConfig(hidden=(), latent=Z, variance="fixed", std=STD, standardise=False)
    model = VAE.create(config, DataSpec((D,), "real"), None, dtype="float64")
    W, c = model.decoder.output.linear.W, model.decoder.output.linear.b
    W[...] = 0.7 * rng.standard_normal((Z, D))
    c[...] = rng.standard_normal(D)
    u = rng.standard_normal((N, Z))
    x = u @ W + c + STD * rng.standard_normal((N, D))
    exact = multivariate_normal(c, W.T @ W + STD**2 * np.eye(D)).logpdf(x)
    covariance = np.linalg.inv(np.eye(Z) + W @ W.T / STD**2)
    mean = (x - c) @ W.T @ covariance / STD**2
    return model, u, Batch(x, np.arange(N)), exact, (mean, covariance)


def standard_errors(model, batch, u, chains, temperatures, seeds=8):
    """Mean and standard error over seeds of the lower and the upper bound of each datum."""
    betas = annealing.temperatures(temperatures)
    sizes = annealing.tune(model, batch, Noise(99), betas, 5)
    lower, upper = [], []
    for seed in range(seeds):
        settings = (Noise(seed), betas, sizes, 5, chains)
        lower.append(annealing.forward(model, batch, *settings).lower())
        upper.append(annealing.reverse(model, batch, u, *settings).upper())
    return [(np.mean(b, axis=0), np.std(b, axis=0, ddof=1) / seeds**0.5) for b in (lower, upper)]


@pytest.mark.parametrize("Z", [2, 5])
def test_both_bounds_close_in_on_the_exact_value(Z):
    model, u, batch, exact, _ = linear(Z)
    gaps = []
    for temperatures in (5, 100):
        (low, low_error), (high, high_error) = standard_errors(model, batch, u, 10, temperatures)
        error = np.sqrt((low_error**2).sum()) / N
        assert low.mean() < exact.mean() + 4 * error
        error = np.sqrt((high_error**2).sum()) / N
        assert high.mean() > exact.mean() - 4 * error
        gaps.append(high.mean() - low.mean())
    assert gaps[1] < 0.4 * gaps[0]
    assert gaps[1] < 0.2
    # Per datum as well; Student's t with 7 degrees of freedom, 30 data.
    assert (np.abs(low - exact) < 7 * low_error + 0.1).all()
    assert (np.abs(high - exact) < 7 * high_error + 0.1).all()


def test_more_chains_tighten_both_bounds():
    model, u, batch, *_ = linear(3)
    few = standard_errors(model, batch, u, 1, 8)
    many = standard_errors(model, batch, u, 30, 8)
    assert many[0][0].mean() > few[0][0].mean()
    assert many[1][0].mean() < few[1][0].mean()


def test_a_move_leaves_the_posterior_as_it_is():
    model, _, batch, _, (mean, covariance) = linear(3)
    chains = 4000
    rng = np.random.default_rng(3)
    u = mean + rng.standard_normal((chains, N, 3)) @ np.linalg.cholesky(covariance).T
    run = annealing._Run(model, batch, Noise(0), chains)
    state = run.at(u)
    rates = []
    for t in range(1, 6):  # a step so large that a good part is refused
        *state, rate = run.move(t, 1.0, np.full(N, 0.3), 3, *state)
        rates.append(rate.mean())
    assert 0.3 < np.mean(rates) < 0.97
    after = state[0]
    assert (np.abs(after - u) > 1e-3).mean() > 0.9  # it moved
    error = np.sqrt(np.diag(covariance) / chains)
    assert (np.abs(after.mean(axis=0) - mean) < 5 * error).all()
    centred = after - mean
    found = np.einsum("cbi,cbj->ij", centred, centred) / (chains * N)
    np.testing.assert_allclose(found, covariance, atol=6 * np.abs(covariance).max() / chains**0.5)


def test_step_sizes_are_tuned_to_the_target_and_depend_on_nothing_in_the_run():
    model, _, batch, *_ = linear(2)
    betas = annealing.temperatures(100)
    sizes = annealing.tune(model, batch, Noise(1), betas, 5)
    chains = annealing.forward(model, batch, Noise(2), betas, sizes, 5, 16)
    assert abs(chains.acceptance[40:].mean() - annealing.TARGET) < 0.1
    half = Batch(batch.x[:7], batch.index[:7])
    few = annealing.forward(model, half, Noise(2), betas, sizes[:, :7], 5, 16)
    np.testing.assert_allclose(few.log_w, chains.log_w[:, :7], rtol=1e-9)


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_gradient_of_the_likelihood_by_complex_step(layers):
    rng = np.random.default_rng(1)
    x = (rng.random((4, 9)) < 0.5).astype(float)
    spec = DataSpec((9,), "binary")
    widths = ((7,), (3,)), ((7, 5), (4, 3)), ((7, 5, 4), (4, 3, 2))
    if layers:
        hidden, latent = widths[layers - 1]
        model = IWAE.create(IWAEConfig(hidden=hidden, latent=latent), spec, x, dtype="float64")
    else:
        model = VAE.create(VAEConfig(hidden=(7,), latent=3), spec, x, dtype="float64")
    model.params.vector[...] += 0.3 * rng.standard_normal(model.params.vector.size)
    batch = Batch(x, np.arange(4))
    u, d = rng.standard_normal((2, 4, model.noise_size)), rng.standard_normal((2, 4))
    _, backward = model.log_likelihood(u, batch)
    got, numeric = backward(d), np.empty_like(u)
    for at in np.ndindex(u.shape):
        moved = u.astype(complex)
        moved[at] += 1e-30j
        numeric[at] = (d * model.log_likelihood(moved, batch)[0].imag).sum() / 1e-30
    np.testing.assert_allclose(got, numeric, rtol=0, atol=1e-12 * np.abs(numeric).max())


def test_temperatures_rise_from_0_to_1():
    betas = annealing.temperatures(11)
    assert betas[0] == 0
    assert betas[-1] == 1
    assert (np.diff(betas) > 0).all()
    with pytest.raises(ValueError, match="at least 2"):
        annealing.temperatures(1)
