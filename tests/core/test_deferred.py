"""Deferred products of a weight's gradient, and where their operands are written."""

import numpy as np
import pytest

from backhand import NO_GRAD, grads, grads_like
from tests.core.test_grads import Net, affine, data


@pytest.mark.parametrize("calls", [1, 2, 9])
def test_deferred_products_equal_immediate_ones(calls):
    now, later = grads_like(affine()), grads_like(affine(), defer=True)
    for n in range(calls):
        x, dy = data(n + 1)
        for g in (now, later):
            g.W.add_outer(x, dy)
            g.b.add_rows(dy)
    assert now.W.array.any()
    assert not later.W.array.any()  # its products still wait
    now.flush()
    later.flush()
    assert np.allclose(now.vector, later.vector, rtol=1e-13, atol=1e-14)
    before = later.vector.copy()
    later.flush()  # nothing is left to add
    assert np.array_equal(later.vector, before)


@pytest.mark.parametrize("seed", range(20))
def test_gradients_written_where_there_is_room_equal_others(seed, monkeypatch):
    monkeypatch.setattr(grads, "ROWS", 8)
    rng = np.random.default_rng(seed)
    g, total, placed = grads_like(affine(), defer=True), np.zeros((3, 2)), 0
    for _ in range(30):
        x, dy = data(*rng.integers(1, 4, rng.integers(1, 3)))
        room = g.W.room(dy.shape, dy.dtype) if rng.random() < 0.8 else None
        if room is not None and rng.random() < 0.9:  # else it was given in vain
            assert room.shape == dy.shape
            room[...] = dy
            dy, placed = room, placed + 1
        g.W.add_outer(x, dy)
        total += x.reshape(-1, 3).T @ dy.reshape(-1, 2)
    g.flush()
    np.testing.assert_allclose(g.params["W"], total, rtol=1e-12, atol=1e-12)
    assert placed > 0


def test_room_is_given_where_it_saves_a_copy(monkeypatch):
    g = grads_like(affine(), defer=True)
    x, dy = data(4)
    assert g.W.room((4, 3), dy.dtype) is None  # no gradient of W has three columns
    assert g.W.room((grads.ROWS, 2), dy.dtype) is None  # it does not wait for others
    assert grads_like(affine()).W.room(dy.shape, dy.dtype) is None
    assert NO_GRAD.room(dy.shape, dy.dtype) is None
    for _ in range(3):
        room = g.W.room(dy.shape, dy.dtype)
        room[...] = dy
        g.W.add_outer(x, room)
    joined = []
    monkeypatch.setattr(grads.matrix_product, "outer", lambda x, dy, out: joined.append(dy))
    g.flush()
    assert joined[0].base is room.base
    np.testing.assert_array_equal(joined[0], np.concatenate([dy, dy, dy]))


def test_deferred_products_of_a_layer_shared_by_steps_and_others_mix():
    net = Net((affine(), affine()))
    g = grads_like(net, defer=True)
    first, second, third = data(2), data(3), data(4)
    g.layers[0].W.add_outer(*first)
    g.layers[1].W.add_outer(*second)
    g.layers[0].W.add_outer(*third)
    g.layers[0].W.add(np.ones((3, 2)))
    g.flush()
    assert np.allclose(
        g.params["layers.0.W"], first[0].T @ first[1] + third[0].T @ third[1] + 1, rtol=1e-13
    )
    assert np.allclose(g.params["layers.1.W"], second[0].T @ second[1], rtol=1e-13)


@pytest.mark.parametrize("rows", [100, 300])
def test_deferred_products_wait_for_1024_rows_and_no_longer(rows, monkeypatch):
    lengths, product = [], grads.Accumulator._product

    def noted(leaf, x, dy):
        lengths.append(len(x))
        product(leaf, x, dy)

    monkeypatch.setattr(grads.Accumulator, "_product", noted)
    g, expected = grads_like(affine(), defer=True), 0
    for _ in range(25):
        x, dy = data(rows)
        g.W.add_outer(x, dy)
        expected = expected + x.T @ dy
    assert set(lengths) == {-(-grads.ROWS // rows) * rows}
    g.flush()
    assert sum(lengths) == 25 * rows
    assert np.allclose(g.W.array, expected, rtol=1e-12, atol=1e-12)
