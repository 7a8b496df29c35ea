"""The VAE: its gradient, that every option counts, its units, and the rest of the interface."""

from dataclasses import fields, replace

import numpy as np
import pytest

import backhand as bh
from backhand.model import Batch, DataSpec, Weights
from backhand.models.vae import VAE, VAEConfig
from backhand.noise import Noise

B, D = 6, 11
BINARY = VAEConfig(hidden=(7, 5), latent=3)
REAL = replace(BINARY, output="gaussian", std=0.7)
CONFIGS = {
    "bernoulli": BINARY,
    "affine": replace(BINARY, hidden=()),
    "elu, sampled": replace(BINARY, activation="elu", kl="sampled"),
    "bounded": replace(BINARY, log_scale_bound=2.0),
    **{
        f"gaussian, {variance}, {kl}": replace(REAL, variance=variance, kl=kl)
        for variance in ("fixed", "shared", "learned")
        for kl in ("analytic", "sampled")
    },
    "gaussian, learned, bounded": replace(REAL, variance="learned", log_scale_bound=3.0),
}
WEIGHTS = {"plain": Weights(), "weighted": Weights(likelihood=1.3, kl=0.4, free_bits=0.3)}


def make(config, seed=0, dtype="float64", spread=0.2):
    """A model away from its initial values, and a batch."""
    rng = np.random.default_rng(seed)
    real = config.output == "gaussian"
    x = rng.normal(2, 3, (B, D)) if real else (rng.random((B, D)) < 0.5).astype(float)
    model = VAE.create(config, DataSpec((D,), "real" if real else "binary"), x, dtype=dtype)
    vector = model.params.vector
    vector += (spread * rng.standard_normal(vector.size)).astype(dtype)
    return model, Batch(x.astype(dtype), np.arange(B))


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_gradient_of_every_parameter_by_complex_step(config, k, weights):
    model, batch = make(config)
    noise, cotangent = Noise(1, 2), np.random.default_rng(3).standard_normal(B)
    g = bh.grads_like(model)
    model.bound(batch, noise, k, weights).backward(cotangent, g)
    g.flush()
    numeric = np.empty_like(g.vector)
    for i in range(len(numeric)):
        vector = model.params.vector.astype(complex)
        vector[i] += 1e-30j
        objective = model.over(vector).bound(batch, noise, k, weights).objective
        numeric[i] = (cotangent @ objective.imag) / 1e-30
    for entry in model.params.table:
        at = slice(entry.offset, entry.offset + entry.size)
        scale = np.abs(numeric[at]).max()
        assert scale > 1e-6, entry.name
        assert np.abs(g.vector[at] - numeric[at]).max() <= 1e-11 * scale, entry.name


def test_default_cotangent_is_the_mean():
    model, batch = make(BINARY)
    one, mean = bh.grads_like(model), bh.grads_like(model)
    model.bound(batch, Noise(0)).backward(np.full(B, 1 / B), one)
    model.bound(batch, Noise(0)).backward(None, mean)
    one.flush()
    mean.flush()
    assert np.array_equal(one.vector, mean.vector)


def test_backward_adds_and_may_be_called_again():
    model, batch = make(BINARY)
    bound, g = model.bound(batch, Noise(0)), bh.grads_like(model)
    bound.backward(None, g)
    g.flush()
    once = g.vector.copy()
    bound.backward(None, g)
    g.flush()
    assert np.allclose(g.vector, 2 * once, rtol=1e-14)
    bound.backward(None, bh.NO_GRAD)  # nothing to see, nothing to raise


def test_float32_follows_float64():
    model, batch = make(REAL)
    low = model.over(model.params.vector.astype(np.float32))
    low_batch = batch._replace(x=batch.x.astype(np.float32))
    g, g_low = bh.grads_like(model), bh.grads_like(low)
    high = model.bound(batch, Noise(4), k=2)
    single = low.bound(low_batch, Noise(4), k=2)
    high.backward(None, g)
    single.backward(None, g_low)
    g.flush()
    g_low.flush()
    assert single.value.dtype == g_low.vector.dtype == np.float32
    assert np.allclose(single.value, high.value, rtol=1e-5)
    assert np.abs(g_low.vector - g.vector).max() < 1e-5 * np.abs(g.vector).max()


# -- every option counts ------------------------------------------------------------

CHANGES = {
    "hidden": (7, 6), "latent": 4, "activation": "softplus", "output": "bernoulli",
    "variance": "learned", "std": 1.1, "standardise": False, "kl": "sampled",
    "log_scale_bound": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("field", [field.name for field in fields(VAEConfig)])
def test_every_option_changes_the_outcome(field):
    start = replace(BINARY, output="gaussian") if field != "output" else BINARY
    x = np.random.default_rng(0).random((B, D))
    batch = Batch(x, np.arange(B))
    bounds = []
    for config in (start, replace(start, **{field: CHANGES[field]})):
        model = VAE.create(config, DataSpec((D,), "unit"), x, dtype="float64")
        bounds.append(model.bound(batch, Noise(0)).value)
    if field == "output":  # "auto" is Gaussian for grey values
        assert bounds[0].mean() != bounds[1].mean()
    assert not np.allclose(bounds[0], bounds[1])


def test_options_without_effect_are_refused():
    for name, value in (("variance", "fixed"), ("std", 2.0), ("standardise", False)):
        with pytest.raises(ValueError, match=f"{name} has an effect only with output='gaussian'"):
            VAE.create(replace(BINARY, **{name: value}), DataSpec((D,), "binary"))
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        VAE.create(replace(BINARY, output="bernoulli"), DataSpec((D,), "real"))
    with pytest.raises(ValueError, match="not text"):
        VAE.create(BINARY, DataSpec((D,), "text"))
    with pytest.raises(ValueError, match="activation='elu' has no effect without hidden layers"):
        replace(BINARY, hidden=(), activation="elu")
    for wrong in ({"latent": 0}, {"hidden": (3, 0)}, {"std": 0.0}, {"log_scale_bound": -1.0}):
        with pytest.raises(ValueError):
            replace(BINARY, **wrong)


# -- bounds and units ---------------------------------------------------------------


def test_terms_make_the_bound_and_weights_leave_them_alone():
    model, batch = make(BINARY)
    plain = model.bound(batch, Noise(0))
    weighted = model.bound(batch, Noise(0), weights=Weights(kl=0.25, free_bits=0.5))
    assert np.allclose(plain.value, plain.terms["likelihood"] - plain.terms["kl"])
    assert np.array_equal(plain.value, plain.objective)
    assert np.array_equal(plain.value, weighted.value)
    assert not np.allclose(plain.objective, weighted.objective)


def test_free_bits_is_the_maximum_of_the_batch_mean():
    model, batch = make(BINARY)
    q = model.encode(batch)
    per_unit = (0.5 * (q.mean**2 + np.exp(q.logvar) - 1 - q.logvar)).mean(axis=0)
    free = float(np.median(per_unit))  # some units above it, some below
    bound = model.bound(batch, Noise(0), weights=Weights(free_bits=free))
    expected = bound.terms["likelihood"].mean() - np.maximum(per_unit, free).sum()
    assert np.isclose(bound.objective.mean(), expected)


def test_analytic_and_sampled_kl_agree_on_average():
    model, batch = make(BINARY)
    sampled = VAE(replace(BINARY, kl="sampled"), model.spec, model.encoder, model.decoder, None)
    exact = model.bound(batch, Noise(0)).terms["kl"]
    draws = np.stack([sampled.bound(batch, Noise(seed), k=50).terms["kl"] for seed in range(200)])
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - exact) < 4.5 * error).all()


def test_log_weights_are_the_sampled_bound_and_chunks_do_not_matter(monkeypatch):
    model, batch = make(replace(BINARY, kl="sampled"))
    whole = model.log_weights(batch, Noise(5), 7)
    assert whole.shape == (7, B)
    assert np.allclose(whole.mean(axis=0), model.bound(batch, Noise(5), k=7).value)
    monkeypatch.setattr("backhand.models.vectors.CHUNK", 2 * B * D)  # two samples at a time
    assert np.allclose(model.log_weights(batch, Noise(5), 7), whole, rtol=1e-13)


def test_real_columns_are_scaled_and_scaled_back():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 3)) * [1e-3, 1, 1e3] + [5, 0, -1e4]
    config = VAEConfig(hidden=(), latent=2, variance="fixed", std=1.0)
    model = VAE.create(config, DataSpec((3,), "real"), x, dtype="float64")
    batch = Batch(x, np.arange(200))
    draw = model.sample(4000, Noise(0))
    assert np.allclose(draw.mean.mean(axis=0), x.mean(axis=0), atol=0.2 * x.std(axis=0))
    # The same data in other units: the density changes by the volume, exactly.
    units = np.array([10.0, 0.1, 3.0])
    other = VAE.create(config, DataSpec((3,), "real"), x * units, dtype="float64")
    a = model.bound(batch, Noise(0)).value
    b = other.bound(batch._replace(x=x * units), Noise(0)).value
    assert np.allclose(a - b, np.log(units).sum())


def test_a_constant_column_is_no_trouble():
    x = np.random.default_rng(0).standard_normal((50, 3))
    x[:, 1] = 7
    model = VAE.create(VAEConfig(hidden=(4,), latent=2), DataSpec((3,), "real"), x)
    bound = model.bound(Batch(x.astype(np.float32), np.arange(50)), Noise(0))
    assert np.isfinite(bound.value).all()


# -- use ----------------------------------------------------------------------------


def test_shapes_of_the_interface():
    x = np.random.default_rng(0).random((5, 4, 3)).round()
    model = VAE.create(BINARY, DataSpec((4, 3), "binary"), x)
    batch = Batch(x.astype(np.float32), np.arange(5))
    assert model.encode(batch).mean.shape == (5, 3)
    draw = model.sample(7, Noise(0))
    assert draw.x.shape == draw.mean.shape == (7, 4, 3)
    assert set(np.unique(draw.x)) <= {0, 1}
    assert model.reconstruct(batch, Noise(0)).shape == (5, 4, 3)
    path = model.interpolate(
        batch._replace(x=batch.x[:2], index=batch.index[:2]),
        batch._replace(x=batch.x[2:4], index=batch.index[2:4]),
        6,
    )
    assert path.shape == (6, 2, 4, 3)
    q = model.encode(batch)
    assert np.allclose(path[0], model.decode(q.mean[:2]))
    assert np.allclose(path[-1], model.decode(q.mean[2:4]), atol=1e-6)


def test_samples_follow_the_seed():
    model, _ = make(BINARY)
    same, again = model.sample(3, Noise(1)), model.sample(3, Noise(1))
    other = model.sample(3, Noise(2))
    assert np.array_equal(same.x, again.x)
    assert not np.array_equal(same.mean, other.mean)


def test_draws_have_the_models_own_spread():
    model, _ = make(replace(REAL, variance="fixed", std=0.5))
    draw = model.sample(5000, Noise(0))
    deviation = (draw.x - draw.mean).std(axis=0)
    assert np.allclose(deviation, 0.5 * model.scaling.scale, rtol=0.06)


def test_output_bias_starts_at_the_data_mean():
    x = np.zeros((10, D))
    x[:3, 0] = 1
    model = VAE.create(BINARY, DataSpec((D,), "binary"), x, dtype="float64")
    bias = model.decoder.output.linear.b
    assert np.isclose(bias[0], np.log(0.3 / 0.7))
    assert np.isclose(bias[1], np.log(0.001 / 0.999))


def test_wrong_shape_is_named():
    model, batch = make(BINARY)
    with pytest.raises(ValueError, match=r"data must have shape \(B, 11\).*got \(6, 12\)"):
        model.bound(batch._replace(x=np.zeros((B, 12))), Noise(0))
    with pytest.raises(ValueError, match="given must be None"):
        model.sample(2, Noise(0), given=batch.x)
