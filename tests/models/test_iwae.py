"""Stochastic layers under every estimator: gradients, bounds, and the rest of the interface."""

from dataclasses import fields, replace

import numpy as np
import pytest

import backhand as bh
from backhand.model import UNWEIGHTED, Batch, DataSpec, Weights
from backhand.models.iwae import IWAE, IWAEConfig
from backhand.noise import Noise
from backhand.numerics import log_standard_normal
from tests.kernels.harness import needs

B, D, K = 6, 11, 4
LAYERS = {
    1: IWAEConfig(hidden=(7,), latent=(3,)),
    2: IWAEConfig(hidden=(7, 5), latent=(4, 3)),
    3: IWAEConfig(hidden=(7, 5, 4), latent=(4, 3, 2), depth=1),
}
# Their gradient is the derivative of the bound itself.
EXACT = {
    "elbo": {"estimator": "elbo"},
    "iwae": {"estimator": "iwae"},
    "miwae": {"estimator": "miwae", "groups": 2},
    "ciwae": {"estimator": "ciwae", "beta": 0.3},
    "bounded": {"log_scale_bound": 2.0, "activation": "softplus"},
    "gaussian": {"output": "gaussian", "variance": "learned"},
}
WEIGHTS = {"plain": Weights(), "weighted": Weights(likelihood=1.3, kl=0.4)}


def make(config, dtype="float64"):
    """A model away from its initial values, and a batch."""
    rng = np.random.default_rng(0)
    real = config.output == "gaussian"
    x = rng.normal(2, 3, (B, D)) if real else (rng.random((B, D)) < 0.5).astype(float)
    model = IWAE.create(config, DataSpec((D,), "real" if real else "binary"), x, dtype=dtype)
    vector = model.params.vector
    vector += (0.2 * rng.standard_normal(vector.size)).astype(dtype)
    return model, Batch(x.astype(dtype), np.arange(B))


def gradient(model, batch, cotangent, weights=UNWEIGHTED, k=K):
    g = bh.grads_like(model)
    model.bound(batch, Noise(1, 2), k, weights).backward(cotangent, g)
    g.flush()
    return g.vector.copy()


def complex_step(f, vector):
    """The derivative of f (a real number) by each entry of the vector."""
    numeric = np.empty(len(vector))
    for i in range(len(vector)):
        moved = vector.astype(complex)
        moved[i] += 1e-30j
        numeric[i] = f(moved).imag / 1e-30
    return numeric


def assert_close(model, got, numeric):
    for entry in model.params.table:
        at = slice(entry.offset, entry.offset + entry.size)
        scale = np.abs(numeric[at]).max()
        assert scale > 1e-6, entry.name
        assert np.abs(got[at] - numeric[at]).max() <= 1e-11 * scale, entry.name


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("options", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("layers", LAYERS)
def test_gradient_of_every_parameter_by_complex_step(layers, options, weights):
    model, batch = make(replace(LAYERS[layers], **options))
    cotangent = np.random.default_rng(3).standard_normal(B)
    numeric = complex_step(
        lambda v: cotangent @ model.over(v).bound(batch, Noise(1, 2), K, weights).objective,
        model.params.vector,
    )
    assert_close(model, gradient(model, batch, cotangent, weights), numeric)


def log_q_at(recognition, x, z):
    """log q(z | x) of given samples, (K, B), straight from the density."""
    total, below = 0.0, x
    for net, z_l in zip(recognition.nets, z, strict=True):
        q = net(below)[0]
        square = (z_l - q.mean) ** 2 * np.exp(-q.logvar)
        total = total - 0.5 * (square + q.logvar + np.log(2 * np.pi)).sum(axis=-1)
        below = z_l
    return total


def normalised(log_w):
    w = np.exp(log_w - log_w.max(axis=0))
    return w / w.sum(axis=0)


# What phi's sum over samples is weighted with; theta's is w~ of all samples for each of them.
def stl(log_w):
    return normalised(log_w)


def dreg(log_w):
    return normalised(log_w) ** 2


def piwae(log_w):
    return np.concatenate([normalised(log_w[: K // 2]), normalised(log_w[K // 2 :])]) / 2


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize(
    ("phi_weights", "path", "options"),
    [
        (stl, True, {"estimator": "stl"}),
        (dreg, True, {"estimator": "dreg"}),
        (piwae, False, {"estimator": "piwae", "groups": 2}),
    ],
    ids=["stl", "dreg", "piwae"],
)
@pytest.mark.parametrize("layers", LAYERS)
def test_estimators_that_are_no_derivative_of_their_bound(
    layers, phi_weights, path, options, weights
):
    """Each is the derivative of a sum over samples whose factors are held constant."""
    model, batch = make(replace(LAYERS[layers], **options))
    cotangent = np.random.default_rng(3).standard_normal(B)
    eps = model._noise(Noise(1, 2), batch.index, K, np.float64)

    def log_w(moved, density):
        """Samples by ``moved``; log q by ``density`` where it is held constant."""
        z, log_q, *_ = moved.recognition(batch.x, eps)
        if density is not moved:
            log_q = log_q_at(density.recognition, batch.x, z)
        logp, between, _ = moved.generation(z, batch.x)
        log_prior = log_standard_normal(z[-1]) + (0 if between is None else between)
        return weights.likelihood * logp + weights.kl * (log_prior - log_q)

    factors = {"theta": normalised(log_w(model, model)), "phi": phi_weights(log_w(model, model))}

    def total(vector, part):
        moved = model.over(vector)
        return (factors[part] * log_w(moved, model if path else moved)).sum(axis=0) @ cotangent

    vector = model.params.vector
    numeric = complex_step(lambda v: total(v, "theta"), vector)
    phi = model.params.range_of("recognition")
    numeric[phi] = complex_step(lambda v: total(v, "phi"), vector)[phi]
    assert_close(model, gradient(model, batch, cotangent, weights), numeric)


@pytest.mark.parametrize("layers", [1, 2])
def test_dreg_has_the_mean_of_the_standard_estimator_and_stl_of_one_sample_too(layers):
    """Means over 20,000 draws; over the variance of a paired difference."""
    config = LAYERS[layers]
    model, _ = make(config)
    x = np.tile(np.random.default_rng(5).random(D), (2000, 1))
    phi = model.params.range_of("recognition")

    def mean_gradient(estimator, k, step):
        like = IWAE(
            replace(config, estimator=estimator), model.spec, model.recognition, model.generation,
            model.scaling,
        )  # fmt: skip
        g = bh.grads_like(like)
        like.bound(Batch(x, np.arange(2000)), Noise(9, step), k).backward(None, g)
        g.flush()
        return g.vector[phi].copy()

    def difference(a, b, k):
        """Of the two means, in standard errors, for each parameter."""
        d = np.array([mean_gradient(a, k, s) - mean_gradient(b, k, s) for s in range(10)])
        return d.mean(axis=0) / (d.std(axis=0, ddof=1) / np.sqrt(10))

    # Student's t with 9 degrees of freedom: its root mean square is 1.13.
    for a, b, k in (("dreg", "iwae", 3), ("stl", "elbo", 1)):
        t = difference(a, b, k)
        assert np.sqrt((t**2).mean()) < 1.6, (a, k)
    assert np.sqrt((difference("stl", "iwae", 3) ** 2).mean()) > 3  # biased: and it is seen


def test_one_sample_is_the_evidence_lower_bound_for_every_estimator():
    model, batch = make(LAYERS[2])
    values = {
        estimator: IWAE(
            replace(LAYERS[2], estimator=estimator), model.spec, model.recognition,
            model.generation, None,
        ).bound(batch, Noise(0)).value
        for estimator in ("elbo", "iwae", "stl", "dreg", "miwae", "piwae", "ciwae")
    }  # fmt: skip
    for value in values.values():
        np.testing.assert_allclose(value, values["elbo"], rtol=1e-13)


def test_the_bound_grows_with_the_number_of_samples():
    model, batch = make(LAYERS[2])
    log_w = model.log_weights(batch, Noise(0), 4096)  # (4096, B)
    levels = []
    for k in (1, 4, 16, 64):
        groups = log_w.reshape(4096 // k, k, B)
        top = groups.max(axis=1)
        levels.append((top + np.log(np.exp(groups - top[:, None]).mean(axis=1))).mean(axis=0))
    assert (np.diff(levels, axis=0) > 0).all()


@pytest.mark.parametrize("layers", LAYERS)
def test_log_weights_are_those_of_the_bound_whatever_the_chunks(layers, monkeypatch):
    model, batch = make(LAYERS[layers])
    whole = model.log_weights(batch, Noise(3), 7)
    w = np.exp(whole - whole.max(axis=0))
    bound = model.bound(batch, Noise(3), 7)
    np.testing.assert_allclose(bound.value, whole.max(axis=0) + np.log(w.mean(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(bound.elbo, whole.mean(axis=0), rtol=1e-12)
    monkeypatch.setattr("backhand.models.vectors.CHUNK", 3 * B * D)
    np.testing.assert_allclose(model.log_weights(batch, Noise(3), 7), whole, rtol=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "numba", "native", "emulated"])
@pytest.mark.parametrize("estimator", ["iwae", "dreg"])
def test_backends_agree_on_bound_and_gradient(estimator, backend):
    needs(backend)
    model, batch = make(replace(LAYERS[2], estimator=estimator))
    with bh.use_backend("numpy"):
        value, expected = model.bound(batch, Noise(1, 2), K).value, gradient(model, batch, None)
    with bh.use_backend(backend):
        got, found = model.bound(batch, Noise(1, 2), K).value, gradient(model, batch, None)
    np.testing.assert_allclose(got, value, rtol=1e-12)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_samples_and_reconstructions_have_the_data_shape():
    model, batch = make(LAYERS[3])
    draw = model.sample(5, Noise(0))
    assert draw.x.shape == draw.mean.shape == (5, D)
    assert model.reconstruct(batch, Noise(0)).shape == (B, D)
    assert model.encode(batch).mean.shape == (B, 4)


def test_samples_of_two_layers_come_from_the_top_down():
    """z_1 = mean(z_2) + std(z_2) eps: with a top layer of another scale the draws follow it."""
    model, _ = make(LAYERS[2])
    n = 20000
    z2 = np.random.default_rng(0).standard_normal((n, 3))
    p = model.generation.nets[0](z2)[0]
    z1 = p.mean + np.exp(p.logvar / 2) * np.random.default_rng(1).standard_normal((n, 4))
    expected = model.decode(z1).mean(axis=0)
    draws = model.sample(n, Noise(0))
    error = draws.mean.std(axis=0) / np.sqrt(n)
    assert (np.abs(draws.mean.mean(axis=0) - expected) < 6 * error).all()


def test_every_option_changes_the_outcome():
    base = IWAEConfig(hidden=(7,), latent=(3,), estimator="miwae", groups=2)
    changes = {
        "hidden": (8,), "latent": (2,), "depth": 1, "decoder_depth": 1, "activation": "elu",
        "estimator": "piwae",
        "groups": 4, "output": "gaussian", "log_scale_bound": 1.0,
    }  # fmt: skip
    apart = {"beta": {"estimator": "ciwae"}}
    real = {name: {"output": "gaussian"} for name in ("variance", "std", "standardise")}
    values = {"beta": 0.5, "variance": "fixed", "std": 0.5, "standardise": False}
    for field in fields(IWAEConfig):
        around = (apart | real).get(field.name)
        before = replace(base, groups=1, **around) if around else base
        after = replace(before, **{field.name: (changes | values)[field.name]})
        results = []
        for config in (before, after):
            model, batch = make(config)
            bound = model.bound(batch, Noise(0), 4)
            results.append((bound.value.tolist(), gradient(model, batch, None).tolist()))
        assert results[0] != results[1], field.name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hidden": (7, 5)}, "one entry for each stochastic layer"),
        ({"latent": ()}, "one entry for each stochastic layer"),
        ({"depth": 0}, "at least 1"),
        ({"groups": 2}, "groups has no effect"),
        ({"beta": 0.5}, "beta must be"),
        ({"std": 0.0}, "std must be positive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        IWAEConfig(**options)


def test_what_cannot_be_computed_says_so():
    model, batch = make(replace(LAYERS[1], estimator="miwae", groups=3))
    with pytest.raises(ValueError, match="groups = 3 must divide the number of samples, k = 4"):
        model.bound(batch, Noise(0), 4)
    with pytest.raises(ValueError, match="free_bits"):
        model.bound(batch, Noise(0), 3, Weights(free_bits=0.1))
    with pytest.raises(ValueError, match="given must be None"):
        model.sample(1, Noise(0), given=0)
