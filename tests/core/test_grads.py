"""Gradient twins, their accumulators, and the sink."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import backhand as bh
from backhand import NO_GRAD, grads_like
from backhand.params import Params

RNG = np.random.default_rng(3)


@dataclass
class Affine:
    W: np.ndarray
    b: np.ndarray
    name: str = "x"


@dataclass
class Net:
    layers: tuple
    spare: Any = None


def affine(dtype="float64"):
    return Affine(np.ones((3, 2), dtype), np.ones(2, dtype))


def data(*leading, dtype="float64"):
    x, dy = RNG.normal(size=(*leading, 3)), RNG.normal(size=(*leading, 2))
    return x.astype(dtype), dy.astype(dtype)


def test_the_twin_has_the_shape_of_the_tree():
    g = grads_like(Net((affine(), "tanh", affine())))
    assert g.vector.shape == (16,)
    assert [e.name for e in g.params.table] == [
        "layers.0.W", "layers.0.b", "layers.2.W", "layers.2.b",
    ]  # fmt: skip
    assert g.layers[1] is NO_GRAD  # keeps the positions of a mixed list
    assert g.layers[0].name is NO_GRAD
    assert g.spare is NO_GRAD
    members = list(g.layers)
    assert members[2] is g.layers[2]
    assert next(reversed(g.layers)) is g.layers[2]
    assert [a is b for (a, b) in zip(members, g.layers, strict=True)] == [True] * 3


def test_a_list_at_the_root():
    g = grads_like([affine(), affine()])
    g[1].b.add(np.array([1.0, 2.0]))
    g.flush()
    assert g.part("1.b").tolist() == [1, 2]
    assert g.part("0").tolist() == [0] * 8


def test_unknown_members_are_an_error():
    g = grads_like(affine())
    with pytest.raises(AttributeError):
        _ = g.V
    with pytest.raises(IndexError):
        _ = grads_like([affine()])[1]


@pytest.mark.parametrize("leading", [(5,), (1,), (4, 5), (2, 3, 4), ()])
@pytest.mark.parametrize("defer", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_sums_over_all_leading_axes(leading, defer, dtype):
    g = grads_like(affine(dtype), defer=defer)
    x, dy = data(*leading, dtype=dtype)
    g.W.add_outer(x, dy)
    g.b.add_rows(dy)
    g.flush()
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    expected = x.reshape(-1, 3).T @ dy.reshape(-1, 2)
    assert np.allclose(g.params["W"], expected, rtol=tolerance, atol=tolerance)
    assert np.allclose(g.params["b"], dy.reshape(-1, 2).sum(axis=0), rtol=tolerance, atol=tolerance)
    assert g.vector.dtype == dtype


def test_no_rows_at_all():
    g = grads_like(affine())
    g.W.add_outer(np.empty((0, 3)), np.empty((0, 2)))
    g.b.add_rows(np.empty((4, 0, 2)))
    g.flush()
    assert not g.vector.any()


def test_add_rows_of_many_float32_rows_loses_no_digits():
    dy = np.full((200_000, 2), 0.1, np.float32)
    g = grads_like(affine("float32"))
    g.b.add_rows(dy)
    assert np.allclose(g.b.array, 20_000, rtol=1e-5)


def test_everything_adds_up():
    g = grads_like(affine())
    (x1, dy1), (x2, dy2) = data(5), data(7)
    g.W.add_outer(x1, dy1)
    g.W.add(np.full((3, 2), 10.0))
    g.W.add_outer(x2, dy2)
    g.b.add(np.array([1.0, 2.0]))
    g.b.add_rows(dy1)
    g.flush()
    assert np.allclose(g.W.array, x1.T @ dy1 + 10 + x2.T @ dy2, rtol=1e-14)
    assert np.allclose(g.b.array, dy1.sum(axis=0) + np.array([1, 2]), rtol=1e-14)


def test_flush_zeroes_what_received_nothing():
    vector = np.full(8, np.nan)
    g = grads_like(affine(), vector)
    g.b.add(np.array([1.0, 2.0]))
    g.flush()
    assert g.vector is vector
    assert vector.tolist() == [0] * 6 + [1, 2]


def test_reading_what_received_nothing_gives_zeros():
    g = grads_like(affine(), np.full(8, np.nan))
    assert not g.W.array.any()
    g.W.array[0, 0] += 2  # a view: writes reach the vector
    assert g.vector[0] == 2


@pytest.mark.parametrize("defer", [False, True])
def test_zero_forgets_and_the_twin_is_used_again(defer):
    g = grads_like(affine(), defer=defer)
    x, dy = data(5)
    g.W.add_outer(x, dy)
    g.b.add_rows(dy)
    if not defer:
        g.flush()
    g.zero()  # also what was deferred and never multiplied
    g.b.add(np.array([3.0, 4.0]))
    g.flush()
    assert g.vector.tolist() == [0] * 6 + [3, 4]
    g.zero()
    g.W.add_outer(x, dy)
    g.flush()
    assert np.allclose(g.W.array, x.T @ dy, rtol=1e-14)
    assert not g.part("b").any()


def test_flush_twice_and_adding_after_a_flush_goes_on_summing():
    g = grads_like(affine())
    g.b.add(np.array([1.0, 1.0]))
    g.flush()
    g.flush()
    g.b.add(np.array([1.0, 1.0]))
    g.flush()
    assert g.b.array.tolist() == [2, 2]


def test_over_a_given_vector_and_another_type():
    vector = np.empty(8)
    g = grads_like(affine("float32"), vector)
    g.W.add_outer(*data(5, dtype="float32"))
    g.flush()
    assert g.vector is vector
    assert g.W.array.dtype == np.float64


@pytest.mark.parametrize("size", [7, 9])
def test_a_vector_of_another_length_is_refused(size):
    with pytest.raises(ValueError, match=rf"must have shape \(8,\), got \({size},\)"):
        grads_like(affine(), np.empty(size))


@pytest.mark.parametrize("defer", [False, True])
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda g: g.W.add(np.ones((2, 3))), r"W: .* must have shape \(3, 2\), .* got \(2, 3\)"),
        (lambda g: g.b.add(np.ones(3)), r"b: its gradient must have shape \(2,\), .* got \(3,\)"),
        (lambda g: g.b.add(np.ones(())), r"b: .* got \(\)"),
        (lambda g: g.b.add_rows(np.ones((4, 3))), r"b: .* got \(3,\)"),
        (lambda g: g.W.add_outer(np.ones((4, 2)), np.ones((4, 3))), r"W: .* got \(2, 3\)"),
        (lambda g: g.W.add_outer(np.ones((4, 3)), np.ones((5, 2))), r"W: add_outer of x \(4, 3\)"),
        (lambda g: g.b.add_outer(np.ones((4, 3)), np.ones((4, 2))), r"b: .* got \(3, 2\)"),
    ],
)  # fmt: skip
def test_wrong_shapes_name_the_parameter(call, words, defer):
    g = grads_like(affine(), defer=defer)
    with pytest.raises(ValueError, match=words):
        call(g)


def test_a_nested_parameter_is_named_in_full():
    g = grads_like(Net((affine(),)))
    with pytest.raises(ValueError, match=r"^layers\.0\.b: "):
        g.layers[0].b.add(np.ones(3))


def test_broadcast_views_do_not_slip_in():
    # Same shape, no memory of its own: read, never kept.
    g = grads_like(affine())
    one = np.ones(1)
    g.b.add(np.broadcast_to(one, (2,)))
    one[0] = 5
    assert g.b.array.tolist() == [1, 1]


def test_what_was_added_is_not_aliased():
    g = grads_like(affine())
    d = np.ones(2)
    g.b.add(d)
    d[...] = 9
    g.b.add(np.ones(2))
    assert g.b.array.tolist() == [2, 2]
    assert d.tolist() == [9, 9]


@pytest.mark.parametrize("name", ["vector", "part", "params", "flush", "zero"])
def test_parts_that_the_twin_would_hide_are_refused(name):
    tree = type("T", (), {"__annotations__": {name: Any}})
    with pytest.raises(ValueError, match=f"a part cannot be called '{name}'"):
        grads_like(dataclass(tree)(np.ones(2)))


def test_a_models_twin_is_laid_out_as_its_parameters():
    @dataclass
    class Model(bh.Packed):
        first: Affine
        second: Affine

    model = Model(affine(), affine())
    g = grads_like(model)
    assert g.params.table is model.params.table
    assert isinstance(g.params, Params)
    g.second.b.add(np.array([1.0, 2.0]))
    g.flush()
    model.params.vector[...] -= 0.5 * g.vector
    assert model.second.b.tolist() == [0.5, 0]
    assert model.first.b.tolist() == [1, 1]
    assert np.shares_memory(g.part("second"), g.vector)


def test_a_twin_is_an_ordinary_object_to_the_rest_of_the_world():
    g = grads_like(affine())
    assert not hasattr(g, "__array__")
    assert copy.copy(g).vector is g.vector


# -- the sink ------------------------------------------------------------------------------


def test_no_grad_is_its_own_every_member():
    assert NO_GRAD.encoder.layers[3].W is NO_GRAD
    assert NO_GRAD[-1] is NO_GRAD
    assert repr(NO_GRAD) == "NO_GRAD"
    first, second, *_ = zip(NO_GRAD, range(3), strict=False)
    assert first == (NO_GRAD, 0)
    assert second == (NO_GRAD, 1)
    assert [g for _, g in zip(range(2), reversed(NO_GRAD), strict=False)] == [NO_GRAD] * 2


def test_no_grad_takes_everything_and_keeps_nothing():
    assert NO_GRAD.W.add(np.ones(3)) is None
    assert NO_GRAD.W.add_rows(np.ones((2, 3))) is None
    assert NO_GRAD.W.add_outer(np.ones((2, 3)), np.ones((7, 1))) is None  # is never formed
    assert NO_GRAD.flush() is None


def test_no_grad_is_an_ordinary_object_to_the_rest_of_the_world():
    assert copy.copy(NO_GRAD) is not None
    assert not hasattr(NO_GRAD, "__array__")
    with pytest.raises(AttributeError):
        _ = NO_GRAD.__array_interface__


def test_the_same_backward_with_and_without_destination():
    class Layer:
        def __call__(self, x, W):
            def backward(dy, g):
                g.W.add_outer(x, dy)
                return dy @ W.T

            return x @ W, backward

    x, dy = data(4)
    _, backward = Layer()(x, np.ones((3, 2)))
    g = grads_like(affine())
    assert np.array_equal(backward(dy, g), backward(dy, NO_GRAD))


@dataclass
class Embedding:
    """y = table[index].  index: any shape of integers; table: (V, E)."""

    table: Any

    def __call__(self, index):
        y = self.table[index]

        def backward(dy, g):
            g.table.add_at(index.reshape(-1), dy.reshape(-1, dy.shape[-1]))

        return y, backward


def test_rows_of_a_gather_come_back_with_their_repeats():
    rng = np.random.default_rng(0)
    layer, index = Embedding(rng.standard_normal((7, 3))), np.array([[2, 2, 0], [6, 2, 0]])
    dy = rng.standard_normal((2, 3, 3))
    g = grads_like(layer)
    _, backward = layer(index)
    backward(dy, g)
    backward(dy, g)
    g.flush()
    one_hot = np.eye(7)[index.reshape(-1)]
    assert np.allclose(g.table.array, 2 * one_hot.T @ dy.reshape(-1, 3))
    backward(dy, NO_GRAD)
