"""Layers that end in a Bernoulli likelihood: as dense, bernoulli_logits and bias_activation one
after the other; few rows by columns, many in blocks (csrc/dense), where matrix_product has a factor
for each row."""

from itertools import pairwise

import numpy as np
import pytest

import backhand as bh
from backhand.kernels import bernoulli_logits, dense, dense_bernoulli
from backhand.threads import blas_threads
from tests.kernels import harness

BACKENDS = harness.on_host(dense_bernoulli.OP)
ACTIVATIONS = ("tanh", "softplus")
INPUTS, D = 11, 37


def drawn(K, B, hidden):
    rng = np.random.default_rng(K * B)
    sizes = [INPUTS, *hidden, D]
    Ws = [rng.standard_normal(size) / 3 for size in pairwise(sizes)]
    bs = [rng.standard_normal(len(W[0])) for W in Ws]
    h, d_logp = rng.standard_normal((K, B, INPUTS)), rng.standard_normal((K, B))
    x = (rng.random((B, D)) < 0.3).astype(float)
    return h, Ws, bs, [*ACTIVATIONS[: len(hidden)], "identity"], x, d_logp


@pytest.fixture(params=[1, 2])
def threads(request):
    with blas_threads(1):  # which restores the others too
        bh.set_threads(native=request.param)
        yield request.param


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("hidden", [(), (13,), (13, 9)], ids=str)
@pytest.mark.parametrize(("K", "B"), [(1, 3), (1, 63), (2, 32), (3, 100), (5, 101)])
def test_equals_layers_and_likelihood(K, B, hidden, backend, threads):
    """3 rows and 63 go by columns; 64, 300 and 505 by parts, in one block, three, or five."""
    harness.needs(backend)
    h, Ws, bs, activations, x, d_logp = drawn(K, B, hidden)
    logits, layers = dense.forward_layers(h, Ws, bs, activations, backend="numpy")
    right, likelihood = bernoulli_logits.forward(x, logits, backend="numpy")
    d_logits = bernoulli_logits.backward(d_logp, likelihood, backend="numpy")[1]
    expected = dense.backward_layers(d_logits, layers, backend="numpy")

    logp, saved = dense_bernoulli.forward(h, Ws, bs, activations, x, backend=backend)
    np.testing.assert_allclose(logp, right, rtol=1e-12)
    slopes = bernoulli_logits.backward(np.ones_like(d_logp), likelihood, backend="numpy")[1]
    np.testing.assert_allclose(saved.ys[-1], slopes, rtol=1e-11)
    found = dense_bernoulli.backward(d_logp, saved, backend=backend)
    for one, other in zip(flat(found), flat(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12 * abs(other).max())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("B", [5, 200])
def test_the_same_into_given_arrays_and_without_dh(B, backend, threads):
    harness.needs(backend)
    h, Ws, bs, activations, x, d_logp = drawn(2, B, (13, 9))
    _, saved = dense_bernoulli.forward(h, Ws, bs, activations, x, backend=backend)
    _, *right = dense_bernoulli.backward(d_logp, saved, backend=backend)
    dWs, dbs = [np.full_like(W, np.nan) for W in Ws], [np.full_like(b, np.nan) for b in bs]
    dh, *found = dense_bernoulli.backward(
        d_logp, saved, dWs=dWs, dbs=dbs, need_h=False, backend=backend
    )
    assert dh is None
    for mine, returned, expected in zip([*dWs, *dbs], flat(found), flat(right), strict=True):
        assert mine is returned
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_slopes_far_out(backend):
    """exp(-|l|) is neither lost beside 1 nor too large."""
    harness.needs(backend)
    logits = np.array([[-200.0, -40.0, -8.0, 0.0, 8.0, 40.0, 200.0]])
    for value in (0.0, 1.0):
        x = np.full_like(logits, value)
        logp, saved = dense_bernoulli.forward(
            np.ones((1, 1)), [logits], [np.zeros(7)], ["identity"], x, backend=backend
        )
        sigmoid = 1 / (1 + np.exp(-logits))
        np.testing.assert_allclose(saved.ys[-1], x - sigmoid, rtol=1e-14, atol=3e-16)
        np.testing.assert_allclose(logp, (x * logits - np.logaddexp(0, logits)).sum(1), rtol=1e-14)


def test_what_does_not_fit_is_said():
    h, Ws, bs, activations, x, d_logp = drawn(2, 3, (13,))
    wrong = [
        (lambda: dense_bernoulli.forward(h, Ws, bs, ["tanh", "tanh"], x), "last activation"),
        (lambda: dense_bernoulli.forward(h, Ws, bs[:1], activations, x), "each layer has a W"),
        (lambda: dense_bernoulli.forward(h, Ws, bs, ["tangent", "identity"], x), "'tangent'"),
        (lambda: dense_bernoulli.forward(h, Ws, bs, activations, x[:2]), "dense_bernoulli: h must"),
        (lambda: dense_bernoulli.forward(h, Ws, bs, activations, x[:, 1:]), "dense_bernoulli: b"),
        (lambda: dense_bernoulli.forward(h, Ws[::-1], bs, activations, x), "dense_bernoulli: W1"),
    ]
    for call, words in wrong:
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match=r"dense_bernoulli: .* float32"):
        dense_bernoulli.forward(h.astype("float32"), Ws, bs, activations, x)
    _, saved = dense_bernoulli.forward(h, Ws, bs, activations, x)
    with pytest.raises(ValueError, match="dense_bernoulli: d_logp must"):
        dense_bernoulli.backward(d_logp[:1], saved)
    with pytest.raises(ValueError, match="there are 2 layers, but 1 dW"):
        dense_bernoulli.backward(d_logp, saved, dWs=[np.zeros_like(Ws[0])])


def flat(found):
    return [leaf for x in found for leaf in (x if isinstance(x, list | tuple) else [x])]
