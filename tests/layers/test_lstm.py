"""LSTM, one step and sequences: each against the other, padding, state, known answers."""

import numpy as np
import pytest

from backhand.grads import NO_GRAD, grads_like
from backhand.layers import LSTM, Initial, LSTMCell, State
from backhand.numerics import sigmoid

T, B, D, H = 6, 4, 3, 5
rng = np.random.default_rng(0)


def made(dtype="float64"):
    return LSTM.create(Initial(1, dtype), D, H, forget_bias=0.5)


def sequence(*lead):
    x = rng.standard_normal((T, *lead, D))
    return x, State(*rng.standard_normal((2, *lead, H)))


def run(lstm, x, state, mask, dy, dc, defer=False):
    """y, c, and every gradient by name."""
    y, c, backward = lstm(x, state, mask)
    g = grads_like(lstm, defer=defer)
    dx, d_state = backward(dy, dc, g)
    g.flush()
    return y, c, {"x": dx, "h": d_state.h, "c": d_state.c, "g": g.vector}


def run_by_cells(lstm, x, state, mask, dy, dc, defer=False):
    """The same, by single steps with products of their own."""
    y, backs = [], []
    for t in range(len(x)):
        h, c, back = lstm.cell(x[t], state, None if mask is None else mask[t])
        state = State(h, c)
        y.append(h)
        backs.append(back)
    g, dx, d_state = grads_like(lstm, defer=defer), np.empty_like(x), State(np.zeros_like(dc), dc)
    for t in reversed(range(len(x))):
        dx[t], d_state = backs[t](dy[t] + d_state.h, d_state.c, g.cell)
    g.flush()
    return np.array(y), state.c, {"x": dx, "h": d_state.h, "c": d_state.c, "g": g.vector}


def assert_same(one, other):
    (y, c, grads), (y2, c2, grads2) = one, other
    for a, b in [(y, y2), (c, c2), *((grads[k], grads2[k]) for k in grads)]:
        assert a.shape == b.shape
        assert np.allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("defer", [False, True])
@pytest.mark.parametrize("has_mask", [False, True])
@pytest.mark.parametrize("lead", [(), (1,), (B,), (2, B)])
def test_a_sequence_is_its_single_steps(lead, has_mask, defer):
    (x, state), lstm = sequence(*lead), made()
    mask = rng.integers(0, 2, (T, *lead)) if has_mask else None
    dy, dc = rng.standard_normal((T, *lead, H)), rng.standard_normal((*lead, H))
    expected = run_by_cells(lstm, x, state, mask, dy, dc)
    assert_same(run(lstm, x, state, mask, dy, dc, defer), expected)
    assert_same(run_by_cells(lstm, x, state, mask, dy, dc, defer=True), expected)


@pytest.mark.parametrize("padding", ["behind", "in front"])
def test_a_padded_sequence_is_the_shorter_one(padding):
    """Each row, alone and cut to its own length, has the same outputs and gradients."""
    (x, state), lstm = sequence(B), made()
    lengths = np.array([6, 1, 4, 0])
    inside = np.arange(T)[:, None] < lengths  # (T, B)
    mask = inside if padding == "behind" else inside[::-1]
    dy, dc = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
    y, c, grads = run(lstm, x, state, mask, dy, dc)
    total = np.zeros_like(grads["g"])
    for b, length in enumerate(lengths):
        part = slice(0, length) if padding == "behind" else slice(T - length, T)
        first = State(state.h[b], state.c[b])
        carried = dy[length:, b].sum(axis=0) if padding == "behind" else 0  # of copies of the last
        before = dy[: T - length, b].sum(axis=0) if padding == "in front" else 0  # of state.h
        if not length:
            assert np.array_equal(y[:, b], np.broadcast_to(first.h, (T, H)))
            assert np.array_equal(c[b], first.c)
            assert np.allclose(grads["h"][b], dy[:, b].sum(axis=0))
            assert np.allclose(grads["c"][b], dc[b])
            continue
        d_own = dy[part, b].copy()
        d_own[-1] += carried
        y_own, c_own, own = run(lstm, x[part, b], first, None, d_own, dc[b])
        assert np.allclose(y[part, b], y_own, rtol=1e-13)
        assert np.allclose(y[-1, b], y_own[-1], rtol=1e-13)
        assert np.allclose(c[b], c_own, rtol=1e-13)
        assert np.allclose(grads["x"][part, b], own["x"], rtol=1e-11)
        assert np.allclose(grads["h"][b], own["h"] + before, rtol=1e-11)
        assert np.allclose(grads["c"][b], own["c"], rtol=1e-11)
        total += own["g"]
    assert np.allclose(grads["g"], total, rtol=1e-11, atol=1e-14)
    assert not grads["x"][~mask].any()


def test_padded_positions_change_nothing():
    (x, state), lstm = sequence(B), made()
    mask = np.arange(T)[:, None] < np.array([6, 1, 4, 0])
    dy, dc = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
    y, c, grads = run(lstm, x, state, mask, dy, dc)
    x[~mask] = 1e6
    y2, c2, grads2 = run(lstm, x, state, mask, dy, dc)
    assert np.array_equal(y, y2)
    assert np.array_equal(c, c2)
    for name, value in grads.items():
        assert np.array_equal(value, grads2[name])


def test_rows_are_independent():
    (x, state), lstm = sequence(B), made()
    y, c, backward = lstm(x, state)
    dy, dc = np.zeros_like(y), np.zeros_like(c)
    dy[:, 1] = rng.standard_normal((T, H))
    dx, d_state = backward(dy, dc, NO_GRAD)
    others = [0, 2, 3]
    assert dx[:, 1].all()
    for d in (dx[:, others], d_state.h[others], d_state.c[others]):
        assert not d.any()
    one, c_one, _ = lstm(x[:, 1:2], State(state.h[1:2], state.c[1:2]))
    assert np.allclose(one, y[:, 1:2], rtol=1e-13)
    assert np.allclose(c_one, c[1:2], rtol=1e-13)


def test_state_goes_on_from_one_call_to_the_next():
    (x, state), lstm = sequence(B), made()
    y, c, _ = lstm(x, state)
    head, c_head, back_head = lstm(x[:2], state)
    tail, c_tail, back_tail = lstm(x[2:], State(head[-1], c_head))
    assert np.allclose(np.concatenate([head, tail]), y, rtol=1e-13)
    assert np.allclose(c_tail, c, rtol=1e-13)
    dy, dc = rng.standard_normal(y.shape), rng.standard_normal(c.shape)
    _, _, expected = run(lstm, x, state, None, dy, dc)
    g = grads_like(lstm)
    dx_tail, between = back_tail(dy[2:], dc, g)
    d_head = dy[:2].copy()
    d_head[-1] += between.h  # head[-1] is an output and a state
    dx_head, d_state = back_head(d_head, between.c, g)
    g.flush()
    assert np.allclose(np.concatenate([dx_head, dx_tail]), expected["x"], rtol=1e-11)
    assert np.allclose(d_state.h, expected["h"], rtol=1e-11)
    assert np.allclose(d_state.c, expected["c"], rtol=1e-11)
    assert np.allclose(g.vector, expected["g"], rtol=1e-11)


def test_no_state_is_a_state_of_zeros():
    (x, _), lstm = sequence(B), made()
    zeros = State(np.zeros((B, H)), np.zeros((B, H)))
    y, c, backward = lstm(x)
    y2, c2, backward2 = lstm(x, zeros)
    assert np.array_equal(y, y2)
    assert np.array_equal(c, c2)
    dy = rng.standard_normal(y.shape)
    dx, none = backward(dy, None, NO_GRAD)
    dx2, _ = backward2(dy, np.zeros_like(c), NO_GRAD)
    assert none is None
    assert np.array_equal(dx, dx2)


def test_a_second_backward_needs_keep():
    (x, state), lstm = sequence(B), made()
    y, c, backward = lstm(x, state)
    a, b = grads_like(lstm), grads_like(lstm)
    dx, _ = backward(y, c, a, keep=True)
    again, _ = backward(y, c, b)
    assert np.array_equal(dx, again)
    assert np.array_equal(a.vector, b.vector)
    with pytest.raises(RuntimeError, match="the first needs keep=True"):
        backward(y, c, NO_GRAD)


@pytest.mark.parametrize("keep", [False, True])
def test_no_dx_for_data_and_nothing_given_is_written(keep):
    (x, state), lstm = sequence(B), made()
    mask = rng.integers(0, 2, (T, B))
    y, c, backward = lstm(x, state, mask)
    dy, dc = rng.standard_normal(y.shape), rng.standard_normal(c.shape)
    given = [x, *state, mask, dy, dc]
    before = [array.copy() for array in given]
    dx, d_state = backward(dy, dc, NO_GRAD, need_x=False, keep=keep)
    assert dx is None
    assert d_state.h.all()
    for array, copy in zip(given, before, strict=True):
        assert np.array_equal(array, copy)
    h, c, back = lstm.cell(x[0], state)
    dx, _ = back(h, c, NO_GRAD, need_x=False)
    assert dx is None


def test_float32_stays_float32_and_follows_float64():
    (x, state), lstm, low = sequence(B), made(), made("float32")
    low.cell.W[...] = lstm.cell.W
    dy, dc = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
    y, c, grads = run(lstm, x, state, None, dy, dc)
    f = np.float32
    y2, c2, grads2 = run(
        low, x.astype(f), State(state.h.astype(f), state.c.astype(f)), None, dy.astype(f),
        dc.astype(f),
    )  # fmt: skip
    for a, b in [(y2, y), (c2, c), *((grads2[k], grads[k]) for k in grads)]:
        assert a.dtype == f
        assert np.abs(a - b).max() < 2e-6 * np.abs(b).max()


def test_one_step_in_full():
    """The equations, gate by gate, from the layer's own matrices."""
    cell = made().cell
    x, h, c = rng.standard_normal(D), *rng.standard_normal((2, H))
    parts = [
        x @ cell.Wx[:, n * H : (n + 1) * H] + h @ cell.Wh[:, n * H : (n + 1) * H]
        + cell.b[n * H : (n + 1) * H]
        for n in range(4)
    ]  # fmt: skip
    c_new = sigmoid(parts[1]) * c + sigmoid(parts[0]) * np.tanh(parts[2])
    found = cell(x, State(h, c))
    assert np.allclose(found[1], c_new, rtol=1e-14)
    assert np.allclose(found[0], sigmoid(parts[3]) * np.tanh(c_new), rtol=1e-14)


def test_initial_values():
    cell = LSTMCell.create(Initial(0), 30, 40)
    assert [w.shape for w in (cell.Wx, cell.Wh, cell.b)] == [(30, 160), (40, 160), (160,)]
    assert cell.b.tolist() == [0] * 40 + [1] * 40 + [0] * 80
    assert np.isclose(np.abs(cell.Wx).max(), np.sqrt(6 / 70), rtol=0.01)  # the fan-out of one gate
    assert np.isclose(np.abs(cell.Wh).max(), np.sqrt(6 / 80), rtol=0.01)
    assert not LSTMCell.create(Initial(0), 3, 4, forget_bias=0).b.any()


def test_wrong_arguments_are_named():
    (x, state), lstm = sequence(B), made()
    with pytest.raises(ValueError, match=r"LSTM: h must have shape \(\.\.\., H\) with \.\.\. = "):
        lstm(x, State(state.h[:2], state.c))
    with pytest.raises(ValueError, match=r"LSTM: mask must have shape \(\.\.\.\)"):
        lstm(x, state, np.ones((B, T), int))
    with pytest.raises(ValueError, match=r"LSTM: x must have shape \(T, \.\.\., I\) with T > 0"):
        lstm(x[:0])
    with pytest.raises(TypeError, match="never casts silently"):
        lstm(x.astype(np.float32))
    with pytest.raises(ValueError, match=r"LSTMCell: W must have shape \(I\+H, 4\*H\) with"):
        lstm.cell(x[0][:, :2], state)


def wave(start, *shape):
    return np.sin(1.7 * np.arange(start, start + np.prod(shape))).reshape(shape)


def test_known_answer():
    """Frozen values of an independent implementation: torch.nn.LSTM of PyTorch 2.13, float64."""
    T, B, D, H = 3, 2, 2, 2
    lstm = LSTM(LSTMCell(np.concatenate([wave(0, D, 4 * H), wave(50, H, 4 * H)]), wave(90, 4 * H)))
    x, state = wave(7, T, B, D), State(wave(31, B, H), wave(43, B, H))
    y, c, backward = lstm(x, state)
    g = grads_like(lstm)
    dx, d_state = backward(wave(17, T, B, H), wave(71, B, H), g)
    g.flush()
    known = [
        (y[-1], [0.11578820035203895, -0.5895612917074503,
                 -0.22261535608928293, -0.11201199997872127]),
        (c, [0.9564837427319725, -0.9189055863872866, -0.32221247060465225, -0.1514220493428428]),
        (dx[0], [0.06855978120995807, 0.0794807803518048,
                 -0.00877021569891871, -0.19934501600213697]),
        (d_state.h, [-0.07658761724131052, -0.07252345420533106,
                     0.04856701534590511, 0.21533813692314438]),
        (d_state.c, [-0.01802067420755018, -0.4808961712316329,
                     0.5730357696315092, 0.07697178504336744]),
        (g.cell.W.array[0], [-0.03348572414526299, -0.08541766112554419, 0.06874242055494816,
                             -0.03301497752597073, 0.15544401463481405, 0.04540665356621813,
                             0.09427503585069937, -0.03476940377167137]),
        (g.cell.W.array[D + 1], [-0.1715359048058592, -0.05366376366217999, 0.08143397356161582,
                                 -0.00023598994352372685, 0.08993863864734272, 0.031521392297657783,
                                 0.24647880162453598, -0.012165217815064898]),
        (g.cell.b.array, [-0.10142625970820329, 0.0975967185910432, 0.29464096278801166,
                          0.011411850383004, 0.10523745938219867, 0.06865771120124115,
                          -0.3234780045175556, 0.08625547665314548]),
    ]  # fmt: skip
    for found, expected in known:
        assert np.allclose(found.ravel(), expected, rtol=1e-12, atol=1e-16)
