"""A stochastic layer in the encoder: gradients, the order of the criteria, valid weights."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import backhand as bh
from backhand.model import UNWEIGHTED, Batch, DataSpec, Weights
from backhand.models.auxiliary import AuxiliaryVAE, AuxiliaryVAEConfig
from backhand.noise import Noise
from tests.models.test_iwae import assert_close, complex_step

B, D, K = 5, 9, 3
CRITERIA = {
    "joint": {"criterion": "joint"},
    "semi_implicit": {"criterion": "semi_implicit", "draws": 2},
    "auxiliary": {"criterion": "auxiliary"},
    "gaussian": {"criterion": "auxiliary", "output": "gaussian", "variance": "learned"},
    "affine": {"criterion": "semi_implicit", "draws": 1, "hidden": ()},
}
WEIGHTS = {"plain": UNWEIGHTED, "weighted": Weights(likelihood=1.3, kl=0.4)}


def make(seed=0, **options):
    rng = np.random.default_rng(seed)
    real = options.get("output") == "gaussian"
    x = rng.normal(2, 3, (B, D)) if real else (rng.random((B, D)) < 0.5).astype(float)
    config = AuxiliaryVAEConfig(**{"hidden": (7,), "auxiliary": 4, "latent": 3, **options})
    spec = DataSpec((D,), "real" if real else "binary")
    model = AuxiliaryVAE.create(config, spec, x, dtype="float64")
    model.params.vector[...] += 0.2 * rng.standard_normal(model.params.vector.size)
    return model, Batch(x, np.arange(B))


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("options", CRITERIA.values(), ids=CRITERIA)
def test_gradient_of_every_parameter_by_complex_step(options, weights):
    model, batch = make(**options)
    cotangent = np.random.default_rng(3).standard_normal(B)
    numeric = complex_step(
        lambda v: cotangent @ model.over(v).bound(batch, Noise(1, 2), K, weights).objective,
        model.params.vector,
    )
    g = bh.grads_like(model)
    model.bound(batch, Noise(1, 2), K, weights).backward(cotangent, g)
    g.flush()
    assert_close(model, g.vector, numeric)


@pytest.mark.parametrize("options", CRITERIA.values(), ids=CRITERIA)
def test_the_mean_of_the_log_weights_is_the_bound(options):
    model, batch = make(**options)
    log_w = model.log_weights(batch, Noise(1, 2), K)
    bound = model.bound(batch, Noise(1, 2), K)
    np.testing.assert_allclose(log_w.mean(axis=0), bound.value, rtol=1e-12)
    assert np.isclose(bound.terms["likelihood"] - bound.terms["kl"], bound.value).all()


def affine(criterion, draws=0):
    """A linear-Gaussian model, whose log p(x) is exact; h spreads z."""
    config = AuxiliaryVAEConfig(
        hidden=(), auxiliary=2, latent=2, criterion=criterion, draws=draws,
        variance="fixed", std=1.5, standardise=False,
    )  # fmt: skip
    model = AuxiliaryVAE.create(config, DataSpec((4,), "real"), None, dtype="float64")
    rng = np.random.default_rng(5)
    linear = model.decoder.output.linear
    linear.W[...] = 0.7 * rng.standard_normal((2, 4))
    first, second = model.encoder.first.head.linear, model.encoder.second.head.linear
    first.W[...] *= 0.05  # wide: all weights have a variance
    first.b[2:] = 0.2
    second.W[...] = 0
    second.W[:, :2] = 0.8 * np.eye(2)
    second.b[2:] = 0.2
    if model.reverse is not None:
        model.reverse.head.linear.W[...] *= 0.05
    x = rng.standard_normal((20, 4))
    covariance = linear.W.T @ linear.W + 2.25 * np.eye(4)
    exact = multivariate_normal(linear.b, covariance).logpdf(x)
    return model, Batch(x, np.arange(20)), exact


@pytest.mark.parametrize(
    ("criterion", "draws"), [("joint", 0), ("semi_implicit", 3), ("auxiliary", 0)]
)
def test_weights_have_mean_p_of_x(criterion, draws):
    model, batch, exact = affine(criterion, draws)
    w = np.exp(model.log_weights(batch, Noise(0), 20_000) - exact)  # (k, B)
    error = w.std(axis=0, ddof=1) / np.sqrt(len(w))
    assert (np.abs(w.mean(axis=0) - 1) < 5 * error).all()
    assert error.max() < 0.1


def test_the_criteria_have_their_order():
    """L_0 <= L_1 <= L_5 <= L_25 <= log p(x): means over many samples."""
    values = []
    for draws in (0, 1, 5, 25):
        model, batch, exact = affine("semi_implicit" if draws else "joint", draws)
        values.append(model.bound(batch, Noise(0), 2000).value.mean())
    assert values == sorted(values)
    assert values[-1] < exact.mean()
    assert values[1] - values[0] > 0.1


def test_what_an_auxiliary_model_gives():
    model, batch = make()
    assert model.encode(batch).mean.shape == (B, 3)
    assert model.sample(4, Noise(0)).x.shape == (4, D)
    assert model.reconstruct(batch, Noise(0)).shape == (B, D)
    assert model.params.parts == ("encoder", "decoder", "reverse")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 2}, "draws must be"),
        ({"criterion": "semi_implicit"}, "draws must be"),
        ({"auxiliary": 0}, "at least 1"),
        ({"std": 0.0}, "std must be positive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        AuxiliaryVAEConfig(**options)
    model, batch = make()
    with pytest.raises(ValueError, match="free_bits"):
        model.bound(batch, Noise(0), 1, Weights(free_bits=0.1))
