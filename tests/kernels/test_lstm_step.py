"""The LSTM step: limits of its gates, masks, arrays to write into, errors."""

import numpy as np
import pytest

from backhand.kernels import lstm_step
from backhand.kernels.lstm_step import OP
from tests.kernels.harness import needs, on_host

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
rng = np.random.default_rng(0)


@pytest.fixture(params=on_host(OP))
def backend(request):
    needs(request.param)
    return request.param


def arguments(dtype, rows=(6,), H=5):
    a, b = rng.standard_normal((*rows, 4 * H)), rng.standard_normal(4 * H)
    c_prev, h_prev = rng.standard_normal((2, *rows, H))
    return [x.astype(dtype) for x in (a, c_prev, b, h_prev)]


@each_dtype
def test_saturated_gates(backend, dtype):
    """Input and forget gate shut or open, far out: exact values, no overflow, no warning."""
    H, far = 3, dtype(1e4)
    a = np.zeros((4, 4 * H), dtype)
    i, f, g, o = (a[:, n * H : (n + 1) * H] for n in range(4))
    i[...] = np.array([[-far], [-far], [far], [far]])
    f[...] = np.array([[far], [-far], [-far], [far]])
    g[...], o[...] = far, far
    c_prev = np.full((4, H), 0.75, dtype)
    with np.errstate(all="raise", under="ignore"):
        h, c, saved = lstm_step.forward(a, c_prev, backend=backend)
        ones = np.ones((4, H), dtype)
        da, dc_prev, _, _ = lstm_step.backward(ones, ones, saved, backend=backend)
    assert c[:, 0].tolist() == [0.75, 0, 1, 1.75]  # kept bit for bit, forgotten, replaced, both
    assert np.allclose(h, np.tanh(c), rtol=1e-6)
    assert not da.any()
    assert dc_prev[1:3].tolist() == [[0] * H] * 2
    assert np.allclose(dc_prev[[0, 3]], 2 - np.tanh(c[[0, 3]]) ** 2, rtol=1e-6)


@each_dtype
def test_a_huge_cell_passes_its_gradient_on(backend, dtype):
    a, c_prev = np.zeros((1, 4), dtype), np.full((1, 1), 1e6, dtype)
    a[0, 1] = 50
    h, c, saved = lstm_step.forward(a, c_prev, backend=backend)
    dh, dc = np.full((2, 1, 1), 3, dtype)
    da, dc_prev, _, _ = lstm_step.backward(dh, dc, saved, backend=backend)
    assert (h[0, 0], c[0, 0], dc_prev[0, 0]) == (0.5, 1e6, 3)
    assert da.tolist() == [[0, 0, 1.5, 0.75]]  # dc i, dh t o (1 - o)


@each_dtype
def test_rows_off_the_mask_are_copied_whatever_a_holds(backend, dtype):
    a, c_prev, b, h_prev = arguments(dtype)
    mask = np.array([1, 0, 1, 1, 0, 0])
    a[mask == 0] = np.nan
    h, c, saved = lstm_step.forward(a, c_prev, b, h_prev, mask, backend=backend)
    dh, dc = rng.standard_normal((2, *c.shape)).astype(dtype)
    da, dc_prev, db, dh_prev = lstm_step.backward(dh, dc, saved, backend=backend)
    off, on = mask == 0, mask == 1
    for found, copied in ((h, h_prev), (c, c_prev), (dc_prev, dc), (dh_prev, dh)):
        assert np.array_equal(found[off], copied[off])
    assert not da[off].any()
    assert not dh_prev[on].any()
    h_on, c_on, saved = lstm_step.forward(a[on], c_prev[on], b, backend=backend)
    da_on, dc_on, db_on, none = lstm_step.backward(dh[on], dc[on], saved, backend=backend)
    assert none is None
    for found, alone in ((h, h_on), (c, c_on), (da, da_on), (dc_prev, dc_on)):
        assert np.array_equal(found[on], alone)
    assert np.allclose(db, db_on, rtol=1e-5)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64])
def test_a_mask_may_be_of_any_integer_type(backend, kind):
    a, c_prev, b, h_prev = arguments(np.float32)
    mask = np.array([1, 0, 1, 1, 0, 0])
    expected = lstm_step.forward(a, c_prev, b, h_prev, mask, backend=backend)[0]
    got = lstm_step.forward(a, c_prev, b, h_prev, mask.astype(kind), backend=backend)[0]
    assert np.array_equal(got, expected)


@each_dtype
@pytest.mark.parametrize("has_mask", [False, True])
def test_arrays_to_write_into_may_alias(backend, dtype, has_mask):
    a, c_prev, b, h_prev = arguments(dtype, (3, 2))
    mask = np.arange(6).reshape(3, 2) % 3 != 1
    more = (h_prev, mask) if has_mask else (None, None)
    h, c, saved = lstm_step.forward(a, c_prev, b, *more, 0.3, backend=backend)
    dh, dc = rng.standard_normal((2, *c.shape)).astype(dtype)
    da, dc_prev, db, dh_prev = lstm_step.backward(dh, dc, saved, backend=backend)

    gates, h_to, c_to = a.copy(), np.empty_like(h), np.empty_like(c)
    got = lstm_step.forward(gates, c_prev, b, *more, 0.3, out=(h_to, c_to, gates), backend=backend)
    assert got[0] is h_to
    assert got[1] is c_to
    assert got[2].gates is gates
    for found, expected in ((h_to, h), (c_to, c), (gates, saved.gates)):
        assert np.array_equal(found, expected)
    targets = (gates, dc, dh) if has_mask else (gates, dc)
    da2, dc_prev2, db2, dh_prev2 = lstm_step.backward(dh, dc, got[2], out=targets, backend=backend)
    assert da2 is gates
    assert dc_prev2 is dc
    for found, expected in ((da2, da), (dc_prev2, dc_prev), (db2, db)):
        assert np.array_equal(found, expected)
    if has_mask:
        assert dh_prev2 is dh
        assert np.array_equal(dh, dh_prev)


def test_a_single_row_without_leading_axes(backend):
    a, c_prev, b, h_prev = arguments(np.float64, ())
    mask = np.array(1)
    h, c, saved = lstm_step.forward(a, c_prev, b, h_prev, mask, backend=backend)
    found = [h, c, *lstm_step.backward(h, c, saved, backend=backend)]
    row = [x[None] for x in (a, c_prev)]
    h, c, saved = lstm_step.forward(*row, b, h_prev[None], mask[None], backend=backend)
    expected = [h, c, *lstm_step.backward(h, c, saved, backend=backend)]
    for one, rows in zip(found, expected, strict=True):
        assert np.array_equal(one, rows.reshape(one.shape))


def test_the_bias_gradient_of_many_rows_keeps_its_digits(backend):
    rows, H = 20_000, 2
    a = np.full((rows, 4 * H), 0.3, np.float32)
    c_prev, b = np.full((rows, H), 0.1, np.float32), np.zeros(4 * H, np.float32)
    _, c, saved = lstm_step.forward(a, c_prev, b, backend=backend)
    da, _, db, _ = lstm_step.backward(c, c, saved, backend=backend)
    assert np.allclose(db, da.sum(axis=0, dtype=np.float64), rtol=1e-6, atol=0)


def test_wrong_arguments_are_named():
    a, c_prev, b, h_prev = arguments(np.float64)
    mask = np.ones(6, int)
    with pytest.raises(ValueError, match=r"a must have shape \(\.\.\., 4\*H\) with H = 4"):
        lstm_step.forward(a, c_prev[:, :4])
    with pytest.raises(ValueError, match=r"b must have shape \(G\) with G = 20 \(from a\)"):
        lstm_step.forward(a, c_prev, b[:3])
    with pytest.raises(ValueError, match="mask and h_prev go together"):
        lstm_step.forward(a, c_prev, b, h_prev)
    with pytest.raises(ValueError, match="mask and h_prev go together"):
        lstm_step.forward(a, c_prev, b, None, mask)
    with pytest.raises(TypeError, match="mask must be an array of integers"):
        lstm_step.forward(a, c_prev, b, h_prev, mask.astype(float))
    with pytest.raises(ValueError, match=r"mask must have shape \(\.\.\.\) with \.\.\. = \(6,\)"):
        lstm_step.forward(a, c_prev, b, h_prev, mask[:5])
    with pytest.raises(TypeError, match="never casts silently"):
        lstm_step.forward(a, c_prev.astype(np.float32))
    h, c, saved = lstm_step.forward(a, c_prev)
    with pytest.raises(ValueError, match=r"dh must have shape"):
        lstm_step.backward(h[:5], c, saved)
    with pytest.raises(ValueError, match=r"out must hold 2 arrays"):
        lstm_step.backward(h, c, saved, out=(a, c, h))
    with pytest.raises(ValueError, match=r"out\[2\] \(gates\) must have shape"):
        lstm_step.forward(a, c_prev, out=(h, c, c))
    wide = np.empty((6, 2 * c.shape[-1]))[:, ::2]
    with pytest.raises(ValueError, match=r"out\[1\] must be contiguous"):
        lstm_step.forward(a, c_prev, out=(h, wide, a))
    with pytest.raises(ValueError, match=r"out\[1\] must be contiguous"):
        lstm_step.backward(h, c, saved, out=(a, wide))
