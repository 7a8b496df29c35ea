"""DRAW: the rest of the interface, and completion."""

from dataclasses import replace

import numpy as np
import pytest

from backhand.model import Batch, DataSpec
from backhand.models.draw import DRAW
from backhand.noise import Noise
from tests.models.drawn import CONFIGS, REAL, B, make

# -- the interface -------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_shapes_of_all_that_is_made(name):
    config, shape = CONFIGS[name]
    model, batch = make(config, shape)
    T, Z = config.glimpses, config.latent
    draw = model.sample(3, Noise(0))
    assert draw.x.shape == draw.mean.shape == (3, *shape)
    assert draw.noise.shape == (3, T * Z) == (3, model.noise_size)
    q = model.encode(batch)
    assert q.mean.shape == q.logvar.shape == (B, T, Z)
    assert model.decode(q.mean).shape == model.reconstruct(batch, Noise(0)).shape == (B, *shape)
    assert model.interpolate(batch, batch, 4).shape == (4, B, *shape)
    assert model.bound(batch, Noise(0), 2).kl_units.shape == (B, T * Z)
    film = model.film(B, Noise(0), batch)
    assert film.canvas.shape == (T + 1, B, *shape)
    assert film.kl.shape == (T, B)
    for heads, N in ((film.read, config.read), (film.write, config.write)):
        assert (heads is None) == (N == 0)
        assert heads is None or heads.shape == (T, B, 5)
    assert model.film(2, Noise(0)).canvas.shape == (T + 1, 2, *shape)


def test_films_end_with_what_is_sampled_and_reconstructed():
    model, batch = make()
    film = model.film(B, Noise(4), batch)
    assert np.array_equal(film.canvas[-1], model.reconstruct(batch, Noise(4)))
    terms = model.bound(batch, Noise(4)).terms
    np.testing.assert_allclose(film.kl, [terms[f"kl {t}"] for t in (1, 2, 3)], rtol=1e-13)
    sampled = model.film(3, Noise(4))
    assert np.array_equal(sampled.canvas[-1], model.sample(3, Noise(4)).mean)
    assert sampled.read is None
    assert sampled.kl is None
    still = sampled.canvas[0]
    assert np.array_equal(still[0], still[1])
    h = model.start(1)[0].decoder.h
    np.testing.assert_allclose(film.read[0, 0], model.read.window(h)[0][0], rtol=1e-13)
    assert not np.allclose(film.write[0, 0], model.write.window(h)[0][0])  # after the step


def test_colours_come_back_where_they_were():
    """The first canvas is the data's mean, pixel by pixel and channel by channel."""
    model, batch = make(CONFIGS["colour"][0], (5, 4, 3), spread=0.0)
    first = model.film(1, Noise(0)).canvas[0, 0]
    np.testing.assert_allclose(first, batch.x.mean(axis=0).clip(0.001, 0.999), rtol=1e-12)
    model, batch = make(replace(REAL, read=0), (5, 4, 3), spread=0.0)
    first = model.film(1, Noise(0)).canvas[0, 0]
    np.testing.assert_allclose(first, batch.x.mean(axis=0), rtol=1e-12)


def test_the_read_window_sees_a_colour_picture_channel_by_channel():
    model, batch = make(CONFIGS["colour"][0], (5, 4, 3))
    rows = model._rows(batch.x)
    assert np.array_equal(rows.reshape(B, 3, 5, 4), np.moveaxis(batch.x, 3, 1))
    assert np.array_equal(model._shaped(rows), batch.x)


def test_log_likelihood_of_noise_and_its_gradient():
    model, batch = make()
    draw = model.sample(B, Noise(2))
    logp, _ = model.log_likelihood(draw.noise[None], batch)
    p = draw.mean.reshape(B, -1)
    x = batch.x.reshape(B, -1)
    expected = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)
    np.testing.assert_allclose(logp[0], expected, rtol=1e-12)
    u = np.random.default_rng(0).standard_normal((2, B, model.noise_size))
    cotangent = np.random.default_rng(1).standard_normal((2, B))
    du = model.log_likelihood(u, batch)[1](cotangent)
    for at in np.ndindex(2, 1, model.noise_size):
        moved_u = u.astype(complex)
        moved_u[at] += 1e-30j
        numeric = (cotangent * model.log_likelihood(moved_u, batch)[0].imag).sum() / 1e-30
        assert du[at] == pytest.approx(numeric, rel=1e-9)


def test_real_data_have_bounds_in_their_own_units():
    """Data in other units: another bound by the logarithm of the scale, the same pictures."""
    config = replace(REAL, read=0, write=0)
    x = np.random.default_rng(0).normal(size=(8, 3, 4))
    bounds, pictures = [], []
    for scale in (1.0, 10.0):
        batch = Batch(scale * x, np.arange(8))
        model = DRAW.create(config, DataSpec((3, 4), "real"), batch.x, dtype="float64")
        bounds.append(model.bound(batch, Noise(0)).value)
        pictures.append(model.reconstruct(batch, Noise(0)))
    np.testing.assert_allclose(bounds[0] - bounds[1], 12 * np.log(10), rtol=1e-10)
    np.testing.assert_allclose(10 * pictures[0], pictures[1], rtol=1e-10)


# -- completion ----------------------------------------------------------------------------


def test_completion_keeps_what_is_known_and_never_sees_what_is_not():
    model, batch = make()
    mask = np.zeros(batch.x.shape, bool)
    mask[:, :, :2] = True
    done = model.sample(B, Noise(3), given=batch._replace(mask=mask))
    assert np.array_equal(done.x[mask], batch.x[mask])
    assert np.array_equal(done.mean[mask], batch.x[mask])
    assert set(np.unique(done.x)) <= {0.0, 1.0}
    hidden = np.where(mask, batch.x, 1 - batch.x)  # other pixels where they are not known
    again = model.sample(B, Noise(3), given=batch._replace(x=hidden, mask=mask))
    assert np.array_equal(again.x, done.x)
    other = np.where(mask, 1 - batch.x, batch.x)
    assert not np.allclose(
        model.sample(B, Noise(3), given=batch._replace(x=other, mask=mask)).mean[~mask],
        done.mean[~mask],
    )


def test_completion_in_colour_and_of_real_data():
    for name in ("colour", "gaussian"):
        model, batch = make(*CONFIGS[name])
        mask = np.random.default_rng(0).random(batch.x.shape) < 0.5
        done = model.sample(B, Noise(3), given=batch._replace(mask=mask))
        np.testing.assert_allclose(done.x[mask], batch.x[mask], rtol=1e-12)
        assert np.isfinite(done.x).all()


def test_wrong_completions_say_so():
    model, batch = make()
    words = "given must be a Batch whose mask, of the shape of x"
    for given in (batch, batch._replace(mask=np.ones(3, bool)), "left"):
        with pytest.raises(ValueError, match=words):
            model.sample(B, Noise(0), given=given)
    given = batch._replace(mask=np.ones(batch.x.shape, bool))
    with pytest.raises(ValueError, match="5 pictures are given, n is 3"):
        model.sample(3, Noise(0), given=given)
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        model.complete(given, Noise(0), rounds=0)
