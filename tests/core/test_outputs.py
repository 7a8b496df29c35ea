"""Outputs that a backward reads again, and arrays that are given to be written into."""

import numpy as np
import pytest

import backhand as bh
from backhand.backend import backends
from backhand.kernels import adam, embedding, lstm_step, softmax_cross_entropy
from backhand.layers import LSTM, LSTMCell, State
from tests.kernels.harness import needs

BACKENDS = ["numpy", "numba", "native"]
B, H, V = 3, 4, 5
rng = np.random.default_rng(0)


def float32(*shape):
    return rng.standard_normal(shape, dtype=np.float32)


def into_lstm_forward(**arrays):
    out = arrays["h"], arrays["c"], arrays["gates"]
    return lambda backend: lstm_step.forward(float32(B, 4 * H), c_0, out=out, backend=backend)


def into_lstm_backward(**arrays):
    saved = lstm_step.Saved(float32(B, 4 * H), c_0, c_0, np.array([1, 0, 1]), False)
    out = arrays["da"], arrays["dc"], arrays["dh"]
    return lambda backend: lstm_step.backward(c_0, c_0, saved, out=out, backend=backend)


def into_softmax(out):
    logits, targets = float32(B, V), np.zeros(B, np.int64)
    _, saved = softmax_cross_entropy.forward(logits, targets, backend="numpy")
    return lambda backend: softmax_cross_entropy.backward(
        float32(B), saved, out=out, backend=backend
    )


def into_adam(theta, m, v):
    settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "step": 1}
    return lambda backend: adam.update(theta, float32(V), m, v, **settings, backend=backend)


def into_embedding(W):
    ids = np.array([1, 1, 0])
    return lambda backend: embedding.add_at(W, ids, float32(3, H), backend=backend)


c_0 = float32(B, H)
ROW, GATES = (B, H), (B, 4 * H)
WRITTEN = [  # (call, shapes of what it writes by name)
    (into_lstm_forward, {"h": ROW, "c": ROW, "gates": GATES}),
    (into_lstm_backward, {"da": GATES, "dc": ROW, "dh": ROW}),
    (into_softmax, {"out": (B, V)}),
    (into_adam, {"theta": (V,), "m": (V,), "v": (V,)}),
    (into_embedding, {"W": (V, H)}),
]
EACH = [
    pytest.param(call, shapes, name, backend, id=f"{call.__name__}-{name}-{backend}")
    for call, shapes in WRITTEN
    for name in shapes
    for backend in BACKENDS
]


def strided(shape):
    return np.zeros((*shape[:-1], 2 * shape[-1]), np.float32)[..., ::2]


def marked(shape):
    x = np.zeros(shape, np.float32)
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(("call", "shapes", "name", "backend"), EACH)
def test_what_cannot_be_written_is_refused(call, shapes, name, backend):
    needs(backend)
    for unfit in (strided, marked):
        arrays = {n: np.zeros(shape, np.float32) for n, shape in shapes.items()}
        arrays[name] = unfit(shapes[name])
        with pytest.raises(ValueError, match="must be contiguous and writeable"):
            call(**arrays)(backend)
    arrays = {n: np.zeros(shape, np.float32) for n, shape in shapes.items()}
    call(**arrays)(backend)
    assert arrays[name].any(), "what fits is written"
    with pytest.raises(TypeError, match="never casts"):
        call(**arrays | {name: np.zeros(shapes[name])})(backend)


def native_entries():
    """(function, arguments, the numbers of those that are written)"""
    native = pytest.importorskip("backhand._native")
    ids, rows, table = np.zeros(B, np.int64), float32(B), float32(B, V)
    row, gates = c_0, float32(B, 4 * H)
    return [
        (native.lstm_step.forward, [row] * 2 + [gates] * 2 + [row] + [None] * 3 + [0.0], 0, 3),
        (
            native.lstm_step.backward,
            [gates, row, gates[0], row, row, row, gates, row, row, np.array([True, False, True])],
            0,
            4,
        ),
        (native.softmax_cross_entropy.backward, [table, rows, table, ids, rows, rows], 0, 1),
        (native.linear_cross_entropy.gradient, [table, table[0], ids, rows, rows, rows], 0, 1),
        (native.linear_cross_entropy.absorb, [table, table[0], ids, rows, rows, rows], 3, 6),
        (native.embedding.add_at, [table, ids, table], 0, 1),
        (native.adam.update, [rows] * 4 + [0.1, 0.9, 0.99, 1e-8, 1, 0.0, 1.0], 0, 1),
        (native.adam.update, [rows] * 4 + [0.1, 0.9, 0.99, 1e-8, 1, 0.0, 1.0], 2, 4),
        (native.causal_conv.add, [table[None], table[None], 1, None, 0], 0, 1),
    ]


def test_the_compiled_functions_write_into_no_copy():
    """By themselves, without the front doors' checks."""
    for function, arguments, begin, end in native_entries():
        for n in range(begin, end):
            given = [x.copy() if isinstance(x, np.ndarray) else x for x in arguments]
            function(*given)
            right = given[n]
            wide = np.repeat(right, 2, axis=-1)[..., ::2]
            for unfit in (wide, np.zeros(right.shape, np.int32)):
                with pytest.raises(TypeError, match=r"incompatible fun|be C-contiguous"):
                    function(*given[:n], unfit, *given[n + 1 :])
            with pytest.raises(ValueError, match="not writeable"):
                function(*given[:n], marked(right.shape), *given[n + 1 :])


def test_outputs_of_an_lstm_are_read_only():
    cell = LSTMCell(float32(2 + H, 4 * H), float32(4 * H))
    y, c, _ = LSTM(cell)(float32(3, B, 2))
    _, c_1, _ = cell(float32(B, 2), State(c_0, c_0))
    for kept in (y, c, c_1):
        with pytest.raises(ValueError, match="read-only"):
            kept *= 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_workspace_stays_writeable(backend):
    needs(backend)
    out = np.empty_like(c_0), np.empty_like(c_0), float32(B, 4 * H)
    h, c, _ = lstm_step.forward(float32(B, 4 * H), c_0, out=out, backend=backend)
    assert h is out[0]
    assert c is out[1]
    assert c.flags.writeable


@pytest.mark.skipif(not backends()["numba"].available, reason="needs Numba")
def test_numba_compiles_nothing_again_for_a_kept_output():
    from backhand.kernels.bias_activation import numba_cpu

    with bh.use_backend("numba"):
        from backhand.kernels import bias_activation

        y, _ = bias_activation.forward(c_0, None, "tanh")
        before = len(numba_cpu._forward.signatures)
        assert not y.flags.writeable
        bias_activation.forward(y, None, "tanh")
        assert len(numba_cpu._forward.signatures) == before
        assert not y.flags.writeable
