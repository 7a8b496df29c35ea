"""Causal convolution: what looks where, filters longer than the sequence, wrong arguments."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from backhand.kernels import causal_conv
from backhand.kernels.causal_conv import products
from tests.kernels import harness, more_checks
from tests.kernels.cases.causal_conv import CASES
from tests.tolerances import FLOAT64

BACKENDS = harness.on_host(causal_conv.OP)
each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_fast_backend = pytest.mark.parametrize("backend", [b for b in BACKENDS if b != "numpy"])


@pytest.fixture(autouse=True)
def _available(request):
    backend = getattr(request.node, "callspec", None) and request.node.callspec.params.get(
        "backend"
    )
    if backend:
        harness.needs(backend)


def random(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in shapes]


def by_definition(x, W, b, dilation):
    """The sum as it is written, number by number; x (T, I)."""
    y = np.empty((len(x), W.shape[2]))
    for t, o in itertools.product(range(len(x)), range(W.shape[2])):
        past = [k for k in range(len(W)) if t - k * dilation >= 0]
        y[t, o] = b[o] + sum(x[t - k * dilation] @ W[k, :, o] for k in past)
    return y


@pytest.mark.equation("causal_conv.1", "causal_conv.2")
@each_backend
@pytest.mark.parametrize("dilation", [1, 2, 3, 10, 40])
@pytest.mark.parametrize("taps", [1, 2, 3, 5])
def test_the_sum_as_written(taps, dilation, backend):
    x, W, b = random((11, 3), (taps, 3, 4), (4,))
    y, _ = causal_conv.forward(x, W, b, dilation, backend=backend)
    assert np.allclose(y, by_definition(x, W, b, dilation), rtol=1e-13, atol=1e-13)


@each_backend
def test_what_a_step_sees(backend):
    x, W, b, noise = random((12, 3), (3, 3, 4), (4,), (12, 3))
    y, _ = causal_conv.forward(x, W, b, 2, "tanh", backend=backend)
    for s in range(12):
        moved = x.copy()
        moved[s] += noise[s]
        again, _ = causal_conv.forward(moved, W, b, 2, "tanh", backend=backend)
        changed = np.flatnonzero((again != y).any(axis=-1))
        assert changed.tolist() == [t for t in (s, s + 2, s + 4) if t < 12]


@each_backend
def test_taps_beyond_the_sequence_have_no_gradient(backend):
    x, W, b, dy = random((2, 5, 3), (4, 3, 4), (4,), (2, 5, 4))
    _, saved = causal_conv.forward(x, W, b, 3, backend=backend)
    dx, dW, db = causal_conv.backward(dy, saved, backend=backend)
    assert dW[:2].all()
    assert not dW[2:].any()
    _, short = causal_conv.forward(x, W[:2], b, 3, backend=backend)
    for found, expected in zip(
        (dx, dW[:2], db), causal_conv.backward(dy, short, backend=backend), strict=True
    ):
        assert np.allclose(found, expected, rtol=1e-14)


@each_backend
@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("infinite", ["x", "W", "dy"])
def test_a_tap_before_the_start_contributes_nothing(infinite, many, backend, monkeypatch):
    """Not even zero times infinity."""
    if many:
        monkeypatch.setattr(products, "NARROW", -1)
    x, W, dy = random((2, 23, 5), (3, 5, 20), (2, 23, 20))
    for step in (0, 11, 22):
        a, w, d = (v.copy() for v in (x, W, dy))
        place = {"x": a[1, step], "W": w[2, step % 5], "dy": d[1, step]}[infinite]
        place[3] = np.inf
        with np.errstate(invalid="ignore"):
            y, saved = causal_conv.forward(a, w, None, 4, backend=backend)
            found = y, *causal_conv.backward(d, saved, backend=backend)[:2]
            right, kept = causal_conv.forward(a, w, None, 4, backend="numpy")
            expected = right, *causal_conv.backward(d, kept, backend="numpy")[:2]
        for mine, reference in zip(found, expected, strict=True):
            assert np.isfinite(reference).any()
            harness.agree(mine, reference, FLOAT64, floor=10.0, may_vanish=True)


@each_backend
@pytest.mark.parametrize("leading", [(), (4,), (2, 3), (1, 2, 1), (0,), (2, 0)])
def test_leading_axes_are_sequences_of_their_own(leading, backend):
    x, W, b, dy = random((*leading, 6, 3), (2, 3, 4), (4,), (*leading, 6, 4))
    y, saved = causal_conv.forward(x, W, b, 2, "elu", backend=backend)
    dx, dW, db = causal_conv.backward(dy, saved, backend=backend)
    assert y.shape == dy.shape
    assert dx.shape == x.shape
    expected_dW, expected_db = np.zeros_like(W), np.zeros_like(b)
    for at in np.ndindex(leading):
        alone, kept = causal_conv.forward(x[at], W, b, 2, "elu", backend=backend)
        dx_alone, dW_alone, db_alone = causal_conv.backward(dy[at], kept, backend=backend)
        assert np.allclose(y[at], alone, rtol=1e-13)
        assert np.allclose(dx[at], dx_alone, rtol=1e-13)
        expected_dW += dW_alone
        expected_db += db_alone
    assert np.allclose(dW, expected_dW)
    assert np.allclose(db, expected_db)


@each_backend
@pytest.mark.parametrize("sizes", [(0, 3, 4), (6, 0, 4), (6, 3, 0)])
def test_axes_of_length_zero(sizes, backend):
    T, inputs, outputs = sizes
    x, W, b, dy = random((2, T, inputs), (2, inputs, outputs), (outputs,), (2, T, outputs))
    y, saved = causal_conv.forward(x, W, b, 2, backend=backend)
    assert y.shape == dy.shape
    if inputs == 0:
        assert np.array_equal(y, np.broadcast_to(b, y.shape))
    for found, argument in zip(
        causal_conv.backward(dy, saved, backend=backend), (x, W, b), strict=True
    ):
        assert found.shape == argument.shape


@each_backend
def test_what_is_not_needed_is_none(backend):
    x, W, dy = random((2, 6, 3), (2, 3, 4), (2, 6, 4))
    _, saved = causal_conv.forward(x, W, None, 1, "relu", backend=backend)
    dx, dW, db = causal_conv.backward(dy, saved, backend=backend)
    assert db is None
    no_dx, same_dW, _ = causal_conv.backward(dy, saved, need_x=False, backend=backend)
    assert no_dx is None
    assert np.array_equal(same_dW, dW)
    same_dx, no_dW, _ = causal_conv.backward(dy, saved, need_W=False, backend=backend)
    assert no_dW is None
    assert np.array_equal(same_dx, dx)


@each_backend
@pytest.mark.parametrize("shape", [(1, 5000, 32, 32), (3, 700, 40, 24), (2, 90, 130, 70)])
def test_long_sums_keep_float32(shape, backend):
    """Ten thousand terms of one sign in dW and db."""
    B, T, inputs, outputs = shape
    x, W, b, dy = random((B, T, inputs), (2, inputs, outputs), (outputs,), (B, T, outputs))
    x, dy = 1 + 0.1 * x, 1 + 0.1 * dy
    W /= np.sqrt(2 * inputs)
    y, saved = causal_conv.forward(x, W, b, 16, "tanh", backend="numpy")
    expected = (y, *causal_conv.backward(dy, saved, backend="numpy"))
    low = [a.astype(np.float32) for a in (x, W, b, dy)]
    y, saved = causal_conv.forward(*low[:3], 16, "tanh", backend=backend)
    found = (y, *causal_conv.backward(low[3], saved, backend=backend))
    for a, reference in zip(found, expected, strict=True):
        assert a.dtype == np.float32
        harness.agree(a, reference, 2e-6)


def test_wrong_arguments_say_what_is_wrong():
    x, W = np.zeros((2, 6, 3)), np.zeros((2, 5, 4))
    with pytest.raises(ValueError, match="W must have at least one tap"):
        causal_conv.forward(x, np.zeros((0, 3, 4)), None)
    with pytest.raises(
        ValueError, match=r"causal_conv: W must have shape \(K, I, O\) with I = 3 \(from x\)"
    ):
        causal_conv.forward(x, W, None)
    W = np.zeros((2, 3, 4))
    for dilation in (0, -1, 1.5):
        with pytest.raises(ValueError, match="dilation must be an int of at least 1"):
            causal_conv.forward(x, W, None, dilation)
    with pytest.raises(ValueError, match="unknown activation 'gelu'; there are identity"):
        causal_conv.forward(x, W, None, 1, "gelu")
    with pytest.raises(TypeError, match="never casts silently"):
        causal_conv.forward(x, W, np.zeros(4, np.float32))
    _, saved = causal_conv.forward(x, W, None)
    with pytest.raises(ValueError, match=r"causal_conv: dy must have shape .* with T = 6 \(from y"):
        causal_conv.backward(np.zeros((2, 5, 4)), saved)


# -- products in BLAS, at sizes where a loop of our own would be taken --------------------


@pytest.fixture
def many_channels(monkeypatch):
    monkeypatch.setattr(products, "NARROW", -1)


@each_fast_backend
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_products_in_blas(case, backend, many_channels):
    harness.check_gradient(case, np.random.default_rng(1), case.sizes, backend)
    for dtype in (np.float32, np.float64):
        harness.check_contract(case, np.random.default_rng(1), case.sizes, backend, dtype)
        alone = replace(case, unshared=[(backend, "backward")] if "1 tap" in case.label else [])
        if backend != "emulated":  # it has no threads of its own
            more_checks.check_threads(alone, np.random.default_rng(6), backend, dtype)
        for sizes in itertools.product([1, 3], [1, 4, 33], [1, 7], [1, 9]):
            named = dict(zip("BTIO", sizes, strict=True))
            rng = np.random.default_rng(2)
            harness.check_backend(case, rng, named, backend, dtype, harness.LAYOUTS)
        for letter in case.letters:
            sizes = {**case.sizes, letter: 0}
            more_checks.check_empty(case, np.random.default_rng(0), sizes, backend, dtype)


@each_fast_backend
def test_a_cotangent_that_cannot_be_written(backend, many_channels):
    x, W, dy = random((2, 6, 3), (2, 3, 4), (2, 6, 4))
    dy.flags.writeable = False
    _, saved = causal_conv.forward(x, W, None, 1, backend=backend)
    _, dW, _ = causal_conv.backward(dy, saved, backend=backend)
    assert np.allclose(dW[1], np.einsum("bti,bto->io", x[:, :-1], dy[:, 1:]))
