"""What a gradient check cannot see: which noise is used, which units things are in, which rows."""

from dataclasses import replace

import numpy as np
import pytest

from backhand.data import batch_of, load
from backhand.kernels import bias_activation
from backhand.model import Batch, DataSpec, Weights
from backhand.models.vae import VAE, VAEConfig
from backhand.noise import Noise
from backhand.numerics import sigmoid

CONFIG = VAEConfig(hidden=(6,), latent=3)
rng = np.random.default_rng(0)
X = (rng.random((8, 5)) < 0.4).astype(float)
BATCH = Batch(X, np.arange(8))


@pytest.fixture
def model():
    made = VAE.create(CONFIG, DataSpec((5,), "binary"), X, dtype="float64")
    made.params.vector[...] += 0.5 * rng.standard_normal(made.params.vector.size)
    return made


def test_each_step_has_noise_of_its_own(model):
    one, two = (model.bound(BATCH, Noise(0, step)).value for step in (1, 2))
    assert (one != two).all()
    again = model.bound(BATCH, Noise(0, 1)).value
    assert np.array_equal(one, again)


def test_noise_goes_with_the_datum_and_not_with_its_place(model):
    turned = Batch(X[::-1].copy(), np.arange(8)[::-1].copy())
    for measure in (
        lambda batch: model.bound(batch, Noise(0, 3)).value,
        lambda batch: model.log_weights(batch, Noise(0, 3), 4).T,
        lambda batch: model.reconstruct(batch, Noise(0, 3)),
    ):
        assert np.allclose(measure(turned)[::-1], measure(BATCH), rtol=1e-12)


def test_means_are_probabilities_and_draws_follow_them(model):
    draw = model.sample(3, Noise(1))
    z = Noise(1).normal("prior", np.arange(3), (3,), dtype="float64")
    h = model.decoder.mlp(z)[0]
    assert np.allclose(draw.mean, sigmoid(model.decoder.output.linear(h)[0]))
    many = np.repeat(h[:1], 4000, axis=0)
    drawn = model.decoder.output.draw(many, Noise(1), np.arange(4000))
    p = draw.mean[0]
    assert (np.abs(drawn.mean(axis=0) - p) < 4.5 * np.sqrt(p * (1 - p) / 4000)).all()
    assert np.abs(p - 0.5).max() > 0.1  # an inverted draw would be far off


def test_log_weights_are_densities_in_the_datas_own_units():
    x = rng.standard_normal((20, 4)) * [1, 5, 0.1, 30]
    units = np.array([10.0, 0.1, 3.0, 7.0])
    weights = []
    for data in (x, x * units):
        made = VAE.create(CONFIG, DataSpec((4,), "real"), data, dtype="float64")
        weights.append(made.log_weights(Batch(data, np.arange(20)), Noise(0), 3))
    assert np.allclose(weights[0] - weights[1], np.log(units).sum())


@pytest.mark.parametrize("variance", ["fixed", "shared", "learned"])
def test_output_starts_with_the_standard_deviation_asked_for(variance):
    config = replace(CONFIG, variance=variance, std=0.3, standardise=False)
    made = VAE.create(config, DataSpec((5,), "real"), X, dtype="float64")
    for entry in made.params.table:  # what does not depend on the input
        if entry.name.endswith("W"):
            made.params[entry.name][...] = 0
    draw = made.sample(20_000, Noise(0))
    assert np.allclose((draw.x - draw.mean).std(axis=0), 0.3, rtol=0.02)


def test_free_bits_floor_is_where_it_is_said_to_be(model):
    q = model.encode(BATCH)
    per_unit = (0.5 * (q.mean**2 + np.exp(q.logvar) - 1 - q.logvar)).mean(axis=0)
    top = per_unit.max()
    for free, counted in ((0.99 * top, True), (1.01 * top, False), (0.6 * top, True)):
        shaped = model.bound(BATCH, Noise(0), weights=Weights(free_bits=free))
        expected = np.maximum(per_unit, free).sum()
        found = (shaped.terms["likelihood"] - shaped.objective).mean()
        assert np.isclose(found, expected)
        assert (found > len(per_unit) * free * (1 + 1e-9)) == counted


def test_leaky_relu_has_the_slope_it_is_said_to_have():
    y, _ = bias_activation.forward(np.array([[-3.0, 2.0]]), None, "leaky_relu")
    assert y.tolist() == [[-0.03, 2.0]]


def test_equal_rows_of_two_parts_are_binarised_differently():
    grey = np.full((40, 6), 0.5)
    data = load(
        {"train_x": grey, "valid_x": grey, "test_x": grey}, binarisation="once", kind="unit"
    )
    data = data.converted("float64")
    parts = [
        batch_of(part, np.arange(40), Noise(0)).x for part in (data.train, data.valid, data.test)
    ]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert (parts[i] != parts[j]).any()


def test_limit_keeps_the_first_rows():
    table = rng.standard_normal((30, 2))
    whole = load({"train_x": table, "valid_x": table[:3]})
    assert np.array_equal(
        load({"train_x": table, "valid_x": table[:3]}, limit=7).train.x, table[:7]
    )
    assert len(whole.train) == 30


def test_an_empty_batch_is_no_trouble(model):
    empty = Batch(X[:0], np.arange(0))
    assert model.encode(empty).mean.shape == (0, 3)
    assert model.bound(empty, Noise(0)).value.shape == (0,)
