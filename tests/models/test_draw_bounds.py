"""All bounds of DRAW side by side: against log p(x) by quadrature, where z has two dimensions."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import backhand as bh
from backhand import amortisation, bounds
from backhand.bounds import Settings, compare
from backhand.cli import main
from backhand.model import Batch, Gaussian
from backhand.noise import Noise
from backhand.numerics import log_mean_exp
from tests.models.drawn import ATTENTIVE, CONFIGS, B, make

TWO = replace(ATTENTIVE, glimpses=2, latent=1)  # z has two dimensions in all
NODES = 60


def exact(model, batch):
    """log p(x) = log of the integral of p(x | u) N(u; 0, I), by Gauss and Hermite: (B,)."""
    u, weight = np.polynomial.hermite_e.hermegauss(NODES)
    grid = np.stack(np.meshgrid(u, u, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    log_weight = np.log(np.outer(weight, weight).ravel() / (2 * np.pi))  # they sum to 1
    n = len(batch.x)
    logp, _ = model.log_likelihood(np.broadcast_to(grid, (len(grid), n, 2)), batch)
    return log_mean_exp(logp + log_weight[:, None]) + np.log(len(grid))


@pytest.mark.parametrize("name", ["attention", "none", "colour", "gaussian", "recomputed"])
def test_at_the_encoders_posterior_it_is_the_bound(name):
    model, batch = make(*CONFIGS[name])
    value, _ = model.elbo_at(model.encode(batch), batch, Noise(3), 4)
    np.testing.assert_allclose(value, model.bound(batch, Noise(3), 4).value, rtol=1e-12)


@pytest.mark.parametrize("name", ["attention", "none", "gaussian", "recomputed"])
def test_gradient_by_the_posterior_by_complex_step(name):
    model, batch = make(*CONFIGS[name])
    q, rng = model.encode(batch), np.random.default_rng(1)
    q = Gaussian(*(a + 0.2 * rng.standard_normal(a.shape) for a in q))
    d = rng.standard_normal(B)
    for which, got in enumerate(model.elbo_at(q, batch, Noise(3), 3)[1](d)):
        numeric = np.empty_like(got)
        for at in np.ndindex(got.shape):
            moved = [array.astype(complex) for array in q]
            moved[which][at] += 1e-30j
            value, _ = model.elbo_at(Gaussian(*moved), batch, Noise(3), 3)
            numeric[at] = (d * value.imag).sum() / 1e-30
        assert np.abs(numeric).min() > 0
        np.testing.assert_allclose(got, numeric, rtol=0, atol=1e-12 * np.abs(numeric).max())


def test_a_moved_posterior_is_that_of_an_encoder_that_says_so():
    """With one glimpse nothing lies before: the head's bias moves every mean and log-variance."""
    model, batch = make(*CONFIGS["one glimpse"])
    other = model.over(model.params.vector.copy())
    other.posterior.linear.b[...] += [0.3, -0.2, 0.1, -0.15]  # means, then log-deviations
    value, _ = model.elbo_at(other.encode(batch), batch, Noise(3), 4)
    np.testing.assert_allclose(value, other.bound(batch, Noise(3), 4).value, rtol=1e-12)


def test_posterior_means_of_every_step():
    model, batch = make()
    means = model.posterior_means(batch, Noise(0))
    assert [mean.shape for mean in means] == [(B, 2)] * 3
    np.testing.assert_allclose(means[0], model.encode(batch).mean[:, 0], rtol=1e-12)
    many, more = (model.posterior_means(batch, Noise(seed), 8000)[2] for seed in (1, 2))
    np.testing.assert_allclose(many, more, atol=0.02)
    assert np.abs(many - model.encode(batch).mean[:, 2]).max() > 1e-4  # not at the means alone


@pytest.fixture(scope="module")
def comparison():
    model, batch = make(TWO, (5, 4), n=20)
    model.write.stroke.W[...] *= 4  # posteriors away from the prior
    data = bh.data.load(batch.x, valid=0, kind="binary")
    settings = Settings(ks=(1, 5, 200), limit=20, chains=8, temperatures=100, leapfrogs=5)
    found = compare(model, data, settings, "train")
    drawn = Batch(model.sample(20, Noise(0)).x, np.arange(20))
    values = {"test": exact(model, batch).mean(), "simulated": exact(model, drawn).mean()}
    return {
        kind: ({(row.bound, row.k): -row.nats for row in found.rows if row.data == kind}, value)
        for kind, value in values.items()
    }, found


@pytest.mark.parametrize("kind", ["test", "simulated"])
def test_lower_bounds_are_below_the_integral_and_the_tight_ones_at_it(comparison, kind):
    rows, value = comparison[0][kind]
    elbo, fitted = rows["elbo", 100], rows["elbo, fitted q", 100]
    assert elbo < fitted < value + 0.01
    assert fitted - elbo > 0.02
    assert rows["iwae", 1] < rows["iwae", 5] < rows["iwae", 200] < value + 0.01
    assert rows["iwae", 200] == pytest.approx(value, abs=0.02)
    assert rows["ais", 8] == pytest.approx(value, abs=0.02)


def test_annealing_in_reverse_meets_the_integral_from_above(comparison):
    rows, value = comparison[0]["simulated"]
    assert rows["ais reverse", 8] == pytest.approx(value, abs=0.02)


def test_the_gap_has_two_parts_and_every_step_its_units(comparison):
    rows, found = comparison
    for gap in found.gaps:
        assert gap.amortisation > 3 * gap.amortisation_stderr > 0
        values, _ = rows[gap.data]
        whole = max(v for key, v in values.items() if key[0] != "ais reverse")
        both = gap.approximation + gap.amortisation
        assert both == pytest.approx(whole - values["elbo", 100])
    assert [width for _, width in found.active_units] == [1, 1]
    assert set(found.snr["elbo"][1]) == {
        "start", "read", "encoder", "posterior", "decoder", "write",
    }  # fmt: skip


def test_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bounds, "fit_posterior", partial(amortisation.fit_posterior, steps=3))
    folder = str(tmp_path / "run")
    small = ["--set", "hidden=8", "--set", "latent=2", "--set", "glimpses=3", "--limit", "60"]
    assert (
        main(["train", "draw", "--data", "mnist-mini", "--run", folder, *small, "--steps", "2"])
        == 0
    )
    words = ["bounds", folder, "--limit", "3", "-k", "1,5", "--chains", "2", "--temperatures", "4"]
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["data"] for row in rows] == ["test"] * 5 + ["simulated"] * 6
    assert all(np.isfinite(row["nats"]) for row in rows)
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "amortisation" in text
    assert "active units of each layer, from the data up, or step: " in text
