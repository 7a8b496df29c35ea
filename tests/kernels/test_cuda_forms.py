"""CUDA forms on the emulator: what the harness's sizes do not reach."""

import numpy as np
import pytest

from backhand.kernels import attention_read, attention_write, emulator
from backhand.kernels.attention_read import cuda as read_form
from backhand.kernels.attention_write import cuda as write_form
from backhand.kernels.causal_conv import cuda as conv_form
from backhand.kernels.filterbank import cuda as bank_form
from backhand.kernels.lstm_step import cuda as lstm_form
from tests.kernels import harness
from tests.kernels.cases import MODULES
from tests.tolerances import BASELINE, FLOAT32, FLOAT64

# A launch with few blocks: each takes several data, rows, steps or sequences.
FEW = {
    "filterbank": [(bank_form, "BLOCKS", 2)],
    "attention_read": [(read_form, "BLOCKS", 2)],
    "attention_write": [(write_form, "BLOCKS", 2)],
    "lstm_step": [(lstm_form, "_grid", lambda rows, H: (-(-H // 32), min(rows, 1)))],
    "causal_conv": [
        (conv_form, "_grid", lambda n, steps, cols: (-(-cols // 32), min(steps, 1), min(n, 1)))
    ],
}


@pytest.fixture(autouse=True)
def _emulated():
    harness.needs("emulated")


def results(case, rng):
    sizes = {**case.sizes, "B": 7}
    inputs = case.make(rng, sizes)
    outputs, saved = case.forward(inputs, "emulated")
    cotangents = case.cotangents(rng, outputs)
    return [*outputs, *case.gradients(inputs, cotangents, saved, "emulated").values()]


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("op", FEW)
def test_few_blocks_give_what_many_give(op, order, monkeypatch):
    for case in MODULES[op].CASES:
        expected = results(case, np.random.default_rng(0))
        with monkeypatch.context() as patch, emulator.order(order):
            for change in FEW[op]:
                patch.setattr(*change)
            found = results(case, np.random.default_rng(0))
        for a, b in zip(found, expected, strict=True):
            assert a.tobytes() == b.tobytes()


def heads(rng, B):
    return rng.standard_normal((B, 5)) * 0.3 + np.array([0, 0, 3, -1, 0])


def read_and_write(head, x, w, backend):
    r, saved = attention_read.forward(head, x, None, w.shape[-1], backend=backend)
    found = [r, *attention_read.backward(w, saved, backend=backend)[:2]]
    c, saved = attention_write.forward(head, w, *x.shape[-2:], backend=backend)
    return [*found, c, *attention_write.backward(x, saved, backend=backend)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("N", "side", "launches"), [(12, 40, 4), (12, 256, 0)])
def test_filters_that_do_not_fit_into_shared_memory(N, side, launches, dtype, monkeypatch):
    """No kernel is launched then; the array module makes the products."""
    seen = []
    for form in (read_form, write_form):
        launch = form.launch
        monkeypatch.setattr(form, "launch", lambda *a, f=launch: (seen.append(a[1]), f(*a)))
    rng = np.random.default_rng(0)
    head = heads(rng, 2)
    given = head, rng.standard_normal((2, 1, side, side)), rng.standard_normal((2, 1, N, N))
    low = [a.astype(dtype) for a in given]
    exact, at_low = read_and_write(*given, "numpy"), read_and_write(*low, "numpy")
    assert not seen
    found = read_and_write(*low, "emulated")
    assert len(seen) == launches
    tolerance = FLOAT64 if dtype == np.float64 else FLOAT32
    for a, baseline, b in zip(found, at_low, exact, strict=True):
        assert a.dtype == dtype
        harness.agree(a, b, tolerance, allowed=BASELINE * harness.difference(baseline, b))
