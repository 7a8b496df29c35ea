"""The ops between matrix products: Bernoulli, Gaussian latent and density, bias and activation."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backhand.kernels import bernoulli_logits, bias_activation, gaussian_density, gaussian_latent
from backhand.kernels.bias_activation import ACTIVATIONS
from tests.kernels import harness
from tests.kernels.harness import Case


def bernoulli_inputs(rng, K, B, D):
    return [rng.random((B, D)), 3 * rng.standard_normal((K, B, D))]


def latent_inputs(rng, K, B, Z):
    return [rng.standard_normal(s) for s in ((B, Z), (B, Z), (K, B, Z))]


def density_inputs(rng, K, B, D):
    x, mean = rng.standard_normal((B, D)), rng.standard_normal((K, B, D))
    return [x, mean, rng.uniform(-1, 1, (K, B, D))]  # of the size of the residuals


def shared_density_inputs(rng, K, B, D):
    x, mean, _ = density_inputs(rng, K, B, D)
    return [x, mean, rng.uniform(-1, 1, D)]


def activation_inputs(rng, B, D):
    a, b = rng.standard_normal((B, D)), rng.standard_normal(D)
    a[:1] = np.abs(a[:1]) - b  # a positive row, or relu might have no gradient to check
    return [a, b]


def deep_latent_inputs(rng, K, B, Z):
    """A second stochastic layer: every sample has a mean of its own."""
    return [rng.standard_normal((K, B, Z)) for _ in range(3)]


def deep_density_inputs(rng, K, B, D):
    x, mean = rng.standard_normal((2, K, B, D))
    return [x, mean, rng.uniform(-1, 1, (K, B, D))]


def set_bernoulli_inputs(rng, K, B, D):
    """Sets of two points under two sample axes."""
    return [rng.random((B, 2, D)), 3 * rng.standard_normal((K, 2, B, 2, D))]


KBD, KBZ = {"K": 3, "B": 4, "D": 5}, {"K": 3, "B": 4, "Z": 5}
CASES = [
    Case(bernoulli_logits, "KBD", bernoulli_inputs, sizes=KBD),
    Case(gaussian_latent, "KBZ", latent_inputs, sizes=KBZ),
    Case(gaussian_density, "KBD", density_inputs, sizes=KBD),
    Case(gaussian_density, "KBD", shared_density_inputs, label=", shared", sizes=KBD),
    Case(gaussian_density, "KBD", deep_density_inputs, label=", no sample axis", sizes=KBD),
    Case(gaussian_latent, "KBZ", deep_latent_inputs, label=", no sample axis", sizes=KBZ),
    Case(bernoulli_logits, "KBD", set_bernoulli_inputs, label=", sets", sizes=KBD),
    *(
        Case(bias_activation, "BD", activation_inputs, (f,), f", {f}", sizes={"B": 4, "D": 5})
        for f in ACTIVATIONS
    ),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
EQUATIONS = [
    "bernoulli_logits.1",
    "bernoulli_logits.2",
    "bernoulli_logits.3",
    "gaussian_latent.1",
    "gaussian_latent.2",
    "gaussian_latent.3",
    "gaussian_latent.4",
    "gaussian_latent.5",
    "gaussian_density.1",
    "gaussian_density.2",
    "gaussian_density.3",
    "gaussian_density.4",
    "gaussian_density.5",
    "bias_activation.1",
    "bias_activation.2",
    "bias_activation.3",
    "bias_activation.4",
    "bias_activation.5",
]


@pytest.mark.equation(*EQUATIONS)
@each_case
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_gradient_by_complex_step(case, data):
    sizes = {letter: data.draw(st.integers(1, 5), letter) for letter in case.letters}
    harness.check_gradient(case, np.random.default_rng(data.draw(st.integers(0, 99))), sizes)


@each_case
def test_contract(case):
    harness.check_contract(case, np.random.default_rng(1), case.sizes)


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_backend_agrees_with_the_float64_reference(case, dtype):
    for shape in itertools.product([1, 2, 7, 33], repeat=len(case.letters)):
        sizes = dict(zip(case.letters, shape, strict=True))
        for backend in case.op.OP.modules:
            harness.check_backend(case, np.random.default_rng(2), sizes, backend, dtype)


@each_case
@pytest.mark.parametrize("letter", "KBD")
def test_empty(case, letter):
    letter = {"Z": "D"}.get(letter, letter)
    sizes = {
        name: 0 if name in (letter, "Z" if letter == "D" else "") else n
        for name, n in case.sizes.items()
    }
    inputs = case.inputs(np.random.default_rng(0), **sizes)
    outputs, saved = case.forward(inputs)
    gradients = case.backward(harness.random_like(np.random.default_rng(1), outputs), saved)
    for x, dx in zip(inputs, gradients, strict=True):
        assert x.shape == dx.shape


# The harness itself: a wrong backward must be caught.  Each fault gets the right gradients.
FAULTS = {
    "scaled": lambda grads: [1.001 * g for g in grads],
    "negated": lambda grads: [-g for g in grads],
    "zero": lambda grads: [0 * g for g in grads],
    "one entry": lambda grads: [
        np.where(np.arange(g.size).reshape(g.shape) == 0, 2 * g, g) for g in grads
    ],
    "last input only": lambda grads: [*grads[:-1], grads[-1] * (1 + 1e-6)],
}


@pytest.mark.parametrize("fault", FAULTS)
@each_case
def test_a_wrong_backward_is_caught(case, fault):
    class Wrong:
        OP, forward = case.op.OP, staticmethod(case.op.forward)

        @staticmethod
        def backward(*args, **kwargs):
            return tuple(FAULTS[fault](list(case.op.backward(*args, **kwargs))))

    with pytest.raises(AssertionError):
        harness.check_gradient(replace(case, op=Wrong), np.random.default_rng(3), case.sizes)


# -- far out ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bernoulli_is_exact_at_huge_logits(dtype):
    logits = np.array([[[1e4, -1e4, 1e4, -1e4]]], dtype)
    x = np.array([[1, 0, 0, 1]], dtype)
    logp, saved = bernoulli_logits.forward(x, logits)
    assert logp[0, 0] == -2e4
    _, d_logits = bernoulli_logits.backward(np.ones((1, 1), dtype), saved)
    assert d_logits.ravel().tolist() == [0, 0, -1, 1]


def test_bernoulli_sums_to_one():
    logits = np.array([[[-2.0, 0.3, 5.0]]])
    patterns = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T.astype(float)
    logp = [bernoulli_logits.forward(x[None], logits)[0][0, 0] for x in patterns]
    assert abs(np.exp(logp).sum() - 1) < 1e-14


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [-50, 50])
def test_gaussians_are_finite_far_out(dtype, value):
    mean, logvar = np.full((1, 2), 3, dtype), np.full((1, 2), value, dtype)
    eps = np.array([[[0.5, -1.5]]], dtype)
    z, kl, saved = gaussian_latent.forward(mean, logvar, eps)
    expected = 0.5 * (9 + np.exp(np.float64(value)) - 1 - value)
    assert np.allclose(kl, expected, rtol=1e-6)
    dmean, dlogvar, deps = gaussian_latent.backward(np.ones_like(z), np.ones_like(kl), saved)
    for found in (z, dmean, dlogvar, deps):
        assert np.isfinite(found).all()
    logp, kept = gaussian_density.forward(np.full((1, 2), 4, dtype), mean[None], logvar[None])
    expected = -0.5 * 2 * (np.exp(np.float64(-value)) + value + np.log(2 * np.pi))
    assert np.allclose(logp, expected, rtol=1e-6)
    for found in gaussian_density.backward(np.ones_like(logp), kept):
        assert np.isfinite(found).all()


def test_kl_agrees_with_sampling():
    mean, logvar = np.array([[0.7]]), np.array([[-1.1]])
    eps = np.random.default_rng(0).standard_normal((200_000, 1, 1))
    z, kl, _ = gaussian_latent.forward(mean, logvar, eps)
    log_ratio = 0.5 * (z * z - eps * eps - logvar)
    error = log_ratio.std() / np.sqrt(len(eps))
    assert abs(log_ratio.mean() - kl[0, 0]) < 4 * error


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_far_out(name, dtype):
    a = np.array([[-1e4, -50, 0, 50, 1e4]], dtype)
    y, saved = bias_activation.forward(a, None, name)
    da, db = bias_activation.backward(np.ones_like(y), saved)
    assert db is None
    assert np.isfinite(y).all()
    assert np.isfinite(da).all()
    assert y.dtype == da.dtype == dtype
    if name == "softplus":
        assert np.isclose(da[0, 1], np.exp(-50.0), rtol=1e-6)


def test_wrong_arguments_say_what_is_wrong():
    x, logits = np.zeros((2, 3)), np.zeros((1, 2, 4))
    with pytest.raises(
        ValueError, match=r"bernoulli_logits: logits must have shape \(\*\.\.\., D\) with D = 3"
    ):
        bernoulli_logits.forward(x, logits)
    with pytest.raises(TypeError, match="never casts silently"):
        bernoulli_logits.forward(x, np.zeros((1, 2, 3), np.float32))
    with pytest.raises(ValueError, match="unknown activation 'gelu'"):
        bias_activation.forward(x, None, "gelu")
