"""The denoising criterion: what is corrupted, what is not, and the gradient."""

import numpy as np
import pytest

import backhand as bh
from backhand.config import TrainConfig
from backhand.corruptions import corrupt
from backhand.data import load
from backhand.model import Batch, DataSpec
from backhand.models.dvae import DVAE, DVAEConfig
from backhand.noise import Noise
from backhand.numerics import log_standard_normal
from backhand.training import fit

B, D, K = 6, 11, 3
SMALL = {"hidden": (7,), "latent": (3,)}


def make(**options):
    rng = np.random.default_rng(0)
    x = (rng.random((B, D)) < 0.5).astype(float)
    config = DVAEConfig(**{**SMALL, "level": 0.4, **options})
    model = DVAE.create(config, DataSpec((D,), "binary"), x, dtype="float64")
    model.params.vector[...] += 0.2 * rng.standard_normal(model.params.vector.size)
    return model, Batch(x, np.arange(B))


@pytest.mark.parametrize(
    ("kind", "to_zero", "to_one"),
    [
        ("salt_and_pepper", 0.15, 0.15),
        ("salt_and_pepper_authors", 0.21, 0.09),
        ("zero_mask", 0.3, 0.0),
    ],
)
def test_rates_of_the_corruptions(kind, to_zero, to_one):
    n = 200_000
    x = np.full((1, n), 0.5)  # neither 0 nor 1, so that what is left alone is seen
    found = corrupt(kind, 0.3, x, np.zeros(1, np.int64), Noise(1, 1), 2)
    assert found.shape == (2, 1, n)
    assert not np.array_equal(found[0], found[1])
    for value, rate in ((0, to_zero), (1, to_one), (0.5, 0.7)):
        error = np.sqrt(rate * (1 - rate) / found.size)
        assert abs((found == value).mean() - rate) <= 5 * error, value


def test_gaussian_corruption():
    x = np.full((1, 100_000), 2.0)
    found = corrupt("gaussian", 0.3, x, np.zeros(1, np.int64), Noise(1, 1), 1) - x
    assert abs(found.mean()) < 5 * 0.3 / np.sqrt(found.size)
    assert abs(found.std() - 0.3) < 5 * 0.3 / np.sqrt(2 * found.size)


@pytest.mark.parametrize(
    "options", [{}, {"estimator": "iwae"}, {"hidden": (7, 5), "latent": (4, 3)}]
)
def test_gradient_of_every_parameter_by_complex_step(options):
    model, batch = make(**options)
    noise, cotangent = Noise(1, 2), np.random.default_rng(3).standard_normal(B)
    seen = model.corrupt(batch, noise, K)
    g = bh.grads_like(model)
    model.bound(batch, noise, K, seen=seen).backward(cotangent, g)
    g.flush()
    numeric = np.empty_like(g.vector)
    for i in range(len(numeric)):
        vector = model.params.vector.astype(complex)
        vector[i] += 1e-30j
        objective = model.over(vector).bound(batch, noise, K, seen=seen).objective
        numeric[i] = (cotangent @ objective.imag) / 1e-30
    assert np.abs(g.vector - numeric).max() <= 1e-12 * np.abs(numeric).max()


def test_the_target_stays_clean_and_each_sample_sees_a_corruption_of_its_own():
    model, batch = make()
    noise = Noise(1, 2)
    seen = model.corrupt(batch, noise, K)
    eps = model._noise(noise, batch.index, K, np.float64)
    expected = []
    for i in range(K):
        q = model.recognition.nets[0](seen[i])[0]
        z = q.mean + np.exp(q.logvar / 2) * eps[0][i]
        log_q = -0.5 * (eps[0][i] ** 2 + q.logvar + np.log(2 * np.pi)).sum(axis=1)
        log_p = -0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1)
        decoder = model.generation.decoder
        logits = decoder.output.linear(decoder.mlp(z)[0])[0]
        likelihood = (batch.x * logits - np.logaddexp(0, logits)).sum(axis=1)
        expected.append(likelihood + log_p - log_q)
    found = model.bound(batch, noise, K, seen=seen).value
    np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-12)


def test_no_corruption_is_the_plain_bound_and_evaluation_is_clean():
    model, batch = make(level=0.0)
    noise = Noise(1, 2)
    seen = model.corrupt(batch, noise, K)
    plain = model.bound(batch, noise, K)
    np.testing.assert_array_equal(seen, np.broadcast_to(batch.x, seen.shape))
    np.testing.assert_allclose(model.bound(batch, noise, K, seen=seen).value, plain.value)
    corrupted, _ = make(level=0.4)
    corrupted.params.vector[...] = model.params.vector
    np.testing.assert_array_equal(corrupted.bound(batch, noise, K).value, plain.value)


def test_training_corrupts_and_validation_does_not():
    x = (np.random.default_rng(0).random((40, D)) < 0.5).astype(np.float32)
    data = load(x, valid=10, kind="binary")
    vectors, rows = [], []
    for level in (0.0, 0.4):
        model = DVAE.create(DVAEConfig(**SMALL, level=level), data.spec, x)
        config = TrainConfig(steps=1, batch=30, lr=1e-30)  # nothing moves: only the bounds count
        fit(model, data, config, report=rows.append)
        vectors.append(model.params.vector)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-20)
    assert rows[0]["valid"] == rows[1]["valid"]
    assert rows[0]["train"]["nats"] != rows[1]["train"]["nats"]


def test_levels_that_make_no_sense_are_refused():
    for options in ({"level": -0.1}, {"level": 1.1}):
        with pytest.raises(ValueError, match="level must be"):
            DVAEConfig(**options)
    DVAEConfig(corruption="gaussian", level=1.1)


def test_semi_implicit_without_more_draws_is_the_denoising_bound():
    for layers in ({}, {"hidden": (7, 5), "latent": (4, 3)}):
        model, batch = make(**layers)
        noise = Noise(1, 2)
        seen = model.corrupt(batch, noise, K)
        right = model.bound(batch, noise, K, seen=seen).value
        np.testing.assert_allclose(model.semi_implicit(batch, noise, 0, K), right, rtol=1e-12)


def test_semi_implicit_is_the_mean_density_over_corruptions():
    model, batch = make()
    noise, draws = Noise(1, 2), 2
    seen = model.corrupt(batch, noise, (draws + 1) * K).reshape(draws + 1, K, B, D)
    eps = model._noise(noise, batch.index, K, np.float64)[0]
    q = model.recognition.nets[0](seen)[0]
    z = q.mean[0] + np.exp(q.logvar[0] / 2) * eps
    density = np.exp(
        -0.5 * ((z - q.mean) ** 2 / np.exp(q.logvar) + q.logvar + np.log(2 * np.pi)).sum(-1)
    )
    logp, between, _ = model.generation([z], batch.x)
    assert between is None  # of one layer
    log_prior = log_standard_normal(z)
    right = (logp + log_prior - np.log(density.mean(axis=0))).mean(axis=0)
    np.testing.assert_allclose(model.semi_implicit(batch, noise, draws, K), right, rtol=1e-12)


def test_more_draws_tighten_the_semi_implicit_bound():
    model, batch = make()
    values = [model.semi_implicit(batch, Noise(3), draws, 3000).mean() for draws in (0, 1, 6)]
    assert values == sorted(values)
    assert values[1] - values[0] > 0.01
