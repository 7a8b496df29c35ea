"""The bounds side by side: against linear-Gaussian models, whose log p(x) is exact."""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy.stats import multivariate_normal

from backhand.amortisation import fit_posterior
from backhand.bounds import Settings, compare, importance_bounds
from backhand.cli import main
from backhand.data import load
from backhand.evaluation import evaluate
from backhand.model import Batch, DataSpec, Gaussian
from backhand.models.auxiliary import AuxiliaryVAE, AuxiliaryVAEConfig
from backhand.models.dvae import DVAE, DVAEConfig
from backhand.models.iwae import IWAE, IWAEConfig
from backhand.models.vae import VAE, VAEConfig
from backhand.noise import Noise
from backhand.params import Packed
from backhand.signal_to_noise import signal_to_noise
from tests.core.test_annealing import STD, linear

SMALL = Settings(ks=(1, 4, 40), limit=30, chains=8, temperatures=60, leapfrogs=5)


def prior_for_posterior(Z):
    """``linear``, with an encoder that says N(0, 1) of everything."""
    model, _, batch, exact, posterior = linear(Z)
    model.encoder.head.linear.W[...] = 0
    return model, batch, exact, posterior


def models(layers):
    rng = np.random.default_rng(0)
    x = (rng.random((5, 9)) < 0.5).astype(float)
    spec = DataSpec((9,), "binary")
    if layers:
        config = IWAEConfig(
            hidden=(7, 5, 4)[:layers], latent=(4, 3, 2)[:layers], estimator="elbo"
        )  # fmt: skip
        model = IWAE.create(config, spec, x, dtype="float64")
    else:
        model = VAE.create(VAEConfig(hidden=(7,), latent=3), spec, x, dtype="float64")
    model.params.vector[...] += 0.3 * rng.standard_normal(model.params.vector.size)
    return model, Batch(x, np.arange(5))


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_elbo_at_the_encoders_posterior_is_the_bound(layers):
    model, batch = models(layers)
    value, _ = model.elbo_at(model.encode(batch), batch, Noise(3), 4)
    np.testing.assert_allclose(value, model.bound(batch, Noise(3), 4).value, rtol=1e-12)


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_gradient_of_elbo_at_by_complex_step(layers):
    model, batch = models(layers)
    q = model.encode(batch)
    d = np.random.default_rng(1).standard_normal(5)
    _, backward = model.elbo_at(q, batch, Noise(3), 4)
    for which, got in enumerate(backward(d)):
        numeric = np.empty_like(got)
        for at in np.ndindex(got.shape):
            moved = [array.astype(complex) for array in q]
            moved[which][at] += 1e-30j
            value, _ = model.elbo_at(Gaussian(*moved), batch, Noise(3), 4)
            numeric[at] = (d * value.imag).sum() / 1e-30
        np.testing.assert_allclose(got, numeric, rtol=0, atol=1e-12 * np.abs(numeric).max())


def test_the_fitted_posterior_is_the_best_one_of_its_family():
    """For a Gaussian posterior N(m, C): mean m, variances 1 / diag(C^-1)."""
    model, batch, exact, (mean, covariance) = prior_for_posterior(3)
    q = fit_posterior(model, batch, Noise(0), steps=1000, k=20)
    np.testing.assert_allclose(q.mean, mean, atol=0.05)
    best = 1 / np.diag(np.linalg.inv(covariance))
    np.testing.assert_allclose(np.exp(q.logvar), np.broadcast_to(best, q.logvar.shape), rtol=0.1)
    gap = 0.5 * (np.linalg.slogdet(covariance)[1] - np.log(best).sum())  # KL(q* || p(z | x))
    value, _ = model.elbo_at(q, batch, Noise(1), 4000)
    assert gap > 0.03
    assert abs((exact - value).mean() - gap) < 0.01


def test_importance_bounds_are_those_of_evaluate_and_grow():
    model, batch, *_ = prior_for_posterior(3)
    found = importance_bounds(model, batch, Noise(0), (1, 4, 40))
    means = [found["iwae", k][0].mean() for k in (1, 4, 40)]
    assert means == sorted(means)
    data = load(batch.x, valid=0, kind="real")
    direct = evaluate(model, data, bound="iwae", k=40, split="train")
    np.testing.assert_allclose(found["iwae", 40][0], direct.per_example, rtol=1e-12)
    log_w = model.log_weights(batch, Noise(0), 40)
    np.testing.assert_allclose(found["iwae", 1][0], log_w.mean(axis=0), rtol=1e-12)
    by_hand = np.log(np.exp(log_w.reshape(10, 4, -1)).mean(axis=1)).mean(axis=0)
    np.testing.assert_allclose(found["iwae", 4][0], by_hand, rtol=1e-12)
    assert (found["iwae", 1][1] == 1).all()


@pytest.fixture(scope="module")
def comparison():
    model, batch, exact, _ = prior_for_posterior(3)
    return model, exact, compare(model, load(batch.x, valid=0, kind="real"), SMALL, "train")


def rows_of(found, data):
    return {(row.bound, row.k): row for row in found.rows if row.data == data}


def test_bounds_on_test_data_are_below_the_exact_value(comparison):
    _, exact, found = comparison
    rows = rows_of(found, "test")
    assert set(rows) == {
        ("elbo", 100), ("elbo, fitted q", 100), ("iwae", 1), ("iwae", 4), ("iwae", 40), ("ais", 8)
    }  # fmt: skip
    for row in rows.values():
        assert -row.nats < exact.mean() + 0.05
    assert rows["elbo, fitted q", 100].nats < rows["elbo", 100].nats
    assert abs(rows["ais", 8].nats + exact.mean()) < 0.1


def test_annealing_both_ways_meets_the_exact_value_of_simulated_data(comparison):
    model, _, found = comparison
    W, c = model.decoder.output.linear.W, model.decoder.output.linear.b
    x = model.sample(SMALL.limit, Noise(0)).x
    exact = multivariate_normal(c, W.T @ W + STD**2 * np.eye(len(c))).logpdf(x).mean()
    rows = rows_of(found, "simulated")
    low, high = -rows["ais", 8].nats, -rows["ais reverse", 8].nats
    assert abs(low - exact) < 0.1
    assert abs(high - exact) < 0.1


def test_gains_are_paired_differences(comparison):
    _, _, found = comparison
    for gain in found.gains:
        rows = rows_of(found, gain.data)
        difference = rows["elbo", 100].nats - rows[gain.bound, gain.k].nats
        assert np.isclose(gain.nats, difference)
    gain = next(g for g in found.gains if (g.bound, g.data) == ("iwae", "test") and g.k == 40)
    model, batch, *_ = prior_for_posterior(3)
    values = importance_bounds(model, batch, Noise(0), (40,))["iwae", 40][0]
    paired = values - model.bound(batch, Noise(0), 100).value
    assert np.isclose(gain.stderr, paired.std(ddof=1) / np.sqrt(len(paired)))


def test_the_gap_has_two_parts(comparison):
    _, _, found = comparison
    for gap in found.gaps:
        rows = rows_of(found, gap.data)
        name, k = gap.reference.split(", k = ")
        whole = rows["elbo", 100].nats - rows[name, int(k)].nats
        assert np.isclose(gap.approximation + gap.amortisation, whole)
        assert gap.amortisation > 5 * gap.amortisation_stderr > 0


def test_simulated_data_are_made_of_their_noise():
    for layers in (0, 1, 2, 3):
        model, _ = models(layers)
        drawn = model.sample(7, Noise(1))
        assert drawn.noise.shape == (7, model.noise_size)
        z = drawn.noise
        if layers:
            z, _ = model.generation.draw(np.split(z, np.cumsum(model.config.latent)[:-1], axis=1))
        np.testing.assert_allclose(model.decode(z), drawn.mean, rtol=1e-12)


def test_active_units_of_each_layer():
    model, batch = models(2)
    first, second = model.posterior_means(batch, Noise(0))
    np.testing.assert_allclose(first, model.encode(batch).mean)
    assert second.shape == (5, 3)
    many = model.posterior_means(batch, Noise(1), 4000)[1]
    more = model.posterior_means(batch, Noise(2), 4000)[1]
    np.testing.assert_allclose(many, more, atol=0.05)
    model.recognition.nets[1].head.linear.W[:, :3] = 0  # means that depend on nothing
    data = load(np.asarray(batch.x), valid=0, kind="binary")
    settings = SMALL._replace(ks=(1, 2), limit=5, temperatures=5)
    assert [width for _, width in compare(model, data, settings, "train").active_units] == [4, 3]
    assert compare(model, data, settings, "train").active_units[1][0] == 0


@dataclass
class Estimated(Packed):
    """A gradient of known mean and deviation, in two parts: one with a mean, one without."""

    signal: np.ndarray
    nothing: np.ndarray

    def bound(self, batch, noise, k):
        eps = noise.normal("user", np.arange(2), (50,), dtype=np.float64) / np.sqrt(k)

        def backward(d, g):
            g.signal.add(3 + 2 * eps[0])
            g.nothing.add(2 * eps[1])

        return SimpleNamespace(backward=backward)


def test_signal_to_noise_of_a_known_gradient():
    model = Estimated(np.zeros(50), np.zeros(50))
    for k in (1, 16):
        found = signal_to_noise(model, None, k, ("signal", "nothing"), draws=400)
        assert np.isclose(found["signal"], 1.5 * np.sqrt(k), rtol=0.05)
        assert found["nothing"] < 0.05
    with pytest.raises(ValueError, match="draws"):
        signal_to_noise(model, None, 1, ("signal",), draws=1)


def test_estimators_differ_in_their_ratios():
    """Rainforth et al., 2018: with more samples IWAE's falls for q and grows for p."""
    model, batch = models(1)
    head = model.recognition.nets[0].head.linear  # wide posteriors: weights of finite variance
    head.W[...] *= 0.1
    head.b[4:] = 0.3
    data = load(np.asarray(batch.x), valid=0, kind="binary")
    settings = SMALL._replace(ks=(1, 50), limit=5, temperatures=5)
    snr = compare(model, data, settings, "train").snr
    assert list(snr) == ["elbo", "iwae", "stl", "dreg"]
    assert snr["iwae"][1] == snr["elbo"][1]
    assert snr["iwae"][50]["recognition"] < snr["iwae"][1]["recognition"]
    assert snr["iwae"][50]["generation"] > snr["iwae"][1]["generation"]
    assert snr["dreg"][50]["recognition"] > snr["iwae"][50]["recognition"]
    assert snr["dreg"][50]["generation"] == snr["iwae"][50]["generation"]


def test_a_denoising_model_has_its_own_bound_too():
    rng = np.random.default_rng(0)
    x = (rng.random((5, 9)) < 0.5).astype(float)
    config = DVAEConfig(hidden=(7,), latent=(3,), level=0.3)
    model = DVAE.create(config, DataSpec((9,), "binary"), x, dtype="float64")
    model.params.vector[...] += 0.3 * rng.standard_normal(model.params.vector.size)
    settings = SMALL._replace(ks=(1, 10), limit=5, temperatures=5)
    rows = rows_of(compare(model, load(x, valid=0, kind="binary"), settings, "train"), "test")
    nats = [rows["semi-implicit, corrupted", k].nats for k in (0, 1, 10)]
    assert nats == sorted(nats, reverse=True)


def test_the_elbo_is_the_one_that_the_model_is_trained_by():
    rng = np.random.default_rng(0)
    x = (rng.random((5, 9)) < 0.5).astype(float)
    config = AuxiliaryVAEConfig(hidden=(7,), auxiliary=3, latent=2)
    model = AuxiliaryVAE.create(config, DataSpec((9,), "binary"), x, dtype="float64")
    model.params.vector[...] += 0.3 * rng.standard_normal(model.params.vector.size)
    data = load(x, valid=0, kind="binary")
    settings = SMALL._replace(ks=(1,), limit=5, temperatures=5)
    found = rows_of(compare(model, data, settings, "train"), "test")["elbo", 100].nats
    right = -model.bound(Batch(x, np.arange(5)), Noise(0), 100).value.mean()
    assert np.isclose(found, right, rtol=1e-12)


def test_settings_out_of_range_are_refused():
    model, _, batch, *_ = linear(2)
    data = load(batch.x, valid=0, kind="real")
    for change in ({"limit": 0}, {"chains": 0}, {"leapfrogs": 0}, {"ks": (0,)}, {"ks": ()}):
        with pytest.raises(ValueError, match="at least 1"):
            compare(model, data, SMALL._replace(**change), "train")
    with pytest.raises(ValueError, match="at least 2"):
        compare(model, data, SMALL._replace(temperatures=1), "train")
    with pytest.raises(ValueError, match="lacks log_likelihood"):
        compare(SimpleNamespace(), data, SMALL, "train")


def test_command(tmp_path, capsys):
    folder = str(tmp_path / "run")
    small = ["--set", "hidden=8", "--set", "latent=3", "--limit", "100", "--epochs", "1"]
    assert main(["train", "iwae", "--data", "mnist-mini", "--run", folder, *small]) == 0
    words = ["bounds", folder, "--limit", "4", "-k", "1,5", "--chains", "2", "--temperatures", "4"]
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0].keys() == {"bound", "k", "data", "nats", "stderr", "ess"}
    assert [row["data"] for row in rows] == ["test"] * 5 + ["simulated"] * 6
    written = json.loads((tmp_path / "run" / "bounds.json").read_text())
    assert written.keys() == {"rows", "gains", "gaps", "active_units", "snr"}
    assert written["rows"] == rows
    with Image.open(tmp_path / "run" / "bounds.png") as picture:
        assert picture.size[0] > 1000
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "ais reverse (upper bound)" in text
    assert "amortisation" in text
    assert main([*words[:3], "4", "-k", "1;5"]) == 2
    assert "commas" in capsys.readouterr().err
