"""The ops between matrix products far out, and what is known about them; see also cases/."""

import numpy as np
import pytest

from backhand import use_backend
from backhand.kernels import bernoulli_logits, bias_activation, gaussian_density, gaussian_latent
from backhand.kernels.bias_activation import ACTIVATIONS
from tests.kernels import harness
from tests.tolerances import FLOAT64


@pytest.fixture(autouse=True, params=["numpy", "numba", "native"])
def _backend(request):
    harness.needs(request.param)
    with use_backend(request.param):
        yield


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


def test_gaussian_latent_over_more_samples_than_a_block():
    rng = np.random.default_rng(5)
    mean, logvar, eps = (rng.standard_normal(s) for s in ((3, 7), (3, 7), (150, 3, 7)))
    z, kl, saved = gaussian_latent.forward(mean, logvar, eps, backend="numpy")
    dz, dkl = rng.standard_normal(z.shape), rng.standard_normal(kl.shape)
    right = gaussian_latent.backward(dz, dkl, saved, backend="numpy")
    for found, exact in zip(gaussian_latent.backward(dz, dkl, saved), right, strict=True):
        assert np.abs(found - exact).max() <= 1e-14 * np.abs(exact).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", [bernoulli_logits, gaussian_density])
@pytest.mark.parametrize("samples", [1, 63, 64, 65, 128, 5000])
def test_gradients_of_data_over_many_samples(op, samples, dtype):
    """Terms of one sign, which lose digits where they are added one by one."""
    rng = np.random.default_rng(5)
    shapes = {"bernoulli_logits": [(samples, 2, 33)], "gaussian_density": [(samples, 2, 33)] * 2}
    others = [(1 + 0.1 * rng.standard_normal(s)).astype(dtype) for s in shapes[op.OP.name]]
    x = (-1 + 0.1 * rng.standard_normal((2, 33))).astype(dtype)
    d = (1 + 0.1 * rng.standard_normal((samples, 2))).astype(dtype)
    found = op.backward(d, op.forward(x, *others)[1])
    exact = [a.astype(float) for a in (x, *others)]
    right = op.backward(d.astype(float), op.forward(*exact, backend="numpy")[1], backend="numpy")
    for gradient, expected in zip(found, right, strict=True):
        assert gradient.dtype == dtype
        harness.agree(gradient, expected, 1e-6 if dtype == np.float32 else FLOAT64)
