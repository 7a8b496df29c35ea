"""Trees of dataclasses over one vector."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

import backhand as bh
from backhand.params import (
    Entry,
    assign_constants,
    constants,
    leaves,
    over,
    pack,
    rebuild,
    table_of,
)


@dataclass
class Affine:
    W: np.ndarray
    b: np.ndarray
    name: str = "affine"
    size: int = 3


@dataclass
class Net:
    layers: list
    head: Affine
    mask: np.ndarray = bh.constant()


class Pair(NamedTuple):
    a: Any
    b: Any


def affine(rows, columns, dtype="float32", start=0.0):
    W = start + np.arange(rows * columns, dtype=dtype).reshape(rows, columns)
    return Affine(W, np.full(columns, -1, dtype))


def net(dtype="float32"):
    return Net([affine(2, 3, dtype), affine(3, 4, dtype, 10)], affine(4, 1, dtype, 50), np.ones(2))


def test_the_vector_holds_every_parameter_in_the_order_of_the_fields():
    tree, params = pack(net())
    assert params.table == (
        Entry("layers.0.W", (2, 3), 0, 6),
        Entry("layers.0.b", (3,), 6, 3),
        Entry("layers.1.W", (3, 4), 9, 12),
        Entry("layers.1.b", (4,), 21, 4),
        Entry("head.W", (4, 1), 25, 4),
        Entry("head.b", (1,), 29, 1),
    )
    assert params.parts == ("layers", "head")
    assert params.vector.shape == (30,)
    for name, array in leaves(tree):
        assert np.shares_memory(array, params.vector)
        assert np.array_equal(array, params[name])


def test_pack_copies_the_values_and_leaves_the_old_tree_alone():
    old = net()
    tree, params = pack(old)
    params.vector[...] = 7
    assert (tree.head.W == 7).all()
    assert old.head.W[0, 0] == 50
    assert tree.layers is not old.layers
    assert tree.head.name == "affine"


def test_parts_are_contiguous_views():
    tree, params = pack(net())
    assert params.range_of("layers") == slice(0, 25)
    assert params.range_of("layers.1") == slice(9, 25)
    assert params.range_of("head.b") == slice(29, 30)
    assert params.range_of("") == slice(0, 30)
    params.part("head")[...] = 3
    assert (tree.head.W == 3).all()
    assert tree.layers[1].b[0] == -1
    params["layers.0.W"][1, 2] = 99
    assert tree.layers[0].W[1, 2] == 99


def test_a_part_is_no_mere_prefix():
    @dataclass
    class Names:
        enc: Affine
        encoder: Affine
        layers: list

    tree = Names(affine(1, 1), affine(2, 2), [affine(1, 1) for _ in range(11)])
    params = pack(tree)[1]
    assert params.range_of("enc") == slice(0, 2)
    assert params.range_of("layers.1") == slice(10, 12)


@pytest.mark.parametrize("get", [lambda p: p.part("tail"), lambda p: p["head"]])
def test_an_unknown_name_lists_the_known_ones(get):
    with pytest.raises(KeyError, match=r"there are .*head"):
        get(pack(net())[1])


# -- over another vector ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_over_another_vector(dtype):
    tree, params = pack(net())
    vector = params.vector.astype(dtype) * 2
    other, table = over(tree, params.table, vector)
    assert table.vector is vector
    for (_, a), (_, b) in zip(leaves(tree), leaves(other), strict=True):
        assert b.dtype == dtype
        assert np.shares_memory(b, vector)
        assert np.array_equal(b, 2 * a)
    assert tree.head.W[0, 0] == 50


def test_constants_follow_the_precision_and_stay_real():
    tree, params = pack(net())
    for dtype, real in (("float32", "float32"), ("float64", "float64"), ("complex128", "float64")):
        other, _ = over(tree, params.table, params.vector.astype(dtype))
        assert other.mask.dtype == real
        assert np.array_equal(other.mask, [1, 1])


def test_constants_are_no_parameters():
    assert "mask" not in dict(leaves(net()))
    assert list(constants(net())) == ["mask"]
    nested = [net(), {"x": 1}]
    assert list(constants(nested)) == ["0.mask"]


@dataclass
class Odd:
    W: np.ndarray
    dtype: Any = np.float32
    kind: type = Net  # a dataclass, but no node
    none: Any = bh.constant(default=None)
    order: Any = bh.constant(default=None)
    inner: Any = None


def test_types_none_and_integers_survive():
    tree, params = pack(Odd(np.ones(3), order=np.array([2, 0, 1]), inner=Odd(np.zeros(1))))
    other, _ = over(tree, params.table, params.vector.astype(np.complex128))
    assert other.dtype is np.float32
    assert other.kind is Net
    assert other.none is None
    assert other.order.dtype == np.int64
    assert np.array_equal(other.order, [2, 0, 1])
    assert other.inner.W.dtype == np.complex128
    assert list(constants(tree)) == ["order"]


def test_constants_are_written_in_place_and_checked():
    tree = net()
    assign_constants(tree, {"mask": np.array([5.0, 6.0])})
    assert tree.mask.tolist() == [5, 6]
    with pytest.raises(ValueError, match=r"constants are \['mask'\], got \[\]"):
        assign_constants(tree, {})
    with pytest.raises(ValueError, match=r"constant mask has shape \(2,\), got \(3,\)"):
        assign_constants(tree, {"mask": np.ones(3)})


@pytest.mark.parametrize("size", [29, 31])
def test_over_refuses_a_vector_of_another_length(size):
    tree, params = pack(net())
    with pytest.raises(ValueError, match=rf"must have shape \(30,\), got \({size},\)"):
        over(tree, params.table, np.zeros(size))


# -- trees -------------------------------------------------------------------------------


def test_lists_tuples_and_named_tuples_keep_their_kind():
    tree = (Pair(affine(1, 2), [np.ones(1, "f4")]), "text", 3, np.arange(4))
    new, params = pack(tree)
    assert isinstance(new, tuple)
    assert isinstance(new[0], Pair)
    assert isinstance(new[0].b, list)
    assert new[1:3] == ("text", 3)
    assert new[3] is tree[3]  # integers are no parameters
    assert [e.name for e in params.table] == ["0.0.W", "0.0.b", "0.1.0"]


def test_frozen_and_slotted_dataclasses():
    @dataclass(frozen=True, slots=True)
    class Frozen:
        W: np.ndarray

    tree, params = pack(Frozen(np.ones((2, 2))))
    params.vector[...] = 4
    assert (tree.W == 4).all()


def test_arrays_of_no_axis_and_of_no_element():
    tree, params = pack([np.array(1.5), np.ones((0, 3)), np.ones(2)])
    assert [e.size for e in params.table] == [1, 0, 2]
    assert tree[0].shape == ()
    assert tree[1].shape == (0, 3)
    params.vector[0] = 9
    assert tree[0] == 9


def test_not_contiguous_arrays_are_packed_in_c_order():
    W = np.arange(6.0).reshape(2, 3).T
    tree, params = pack([W])
    assert params.vector.tolist() == [0, 3, 1, 4, 2, 5]
    assert np.array_equal(tree[0], W)


def test_rebuild_shares_what_holds_no_parameters():
    settings = SimpleNamespace(a=1)
    tree = [affine(1, 1), settings]
    new = rebuild(tree, lambda name, a: a + 1)
    assert new[1] is settings
    assert new[0].W[0, 0] == 1
    assert tree[0].W[0, 0] == 0


W = np.ones((2, 2))


@pytest.mark.parametrize(
    ("tree", "error", "words"),
    [
        ([W, W], ValueError, "1 and 0 are one array"),
        ([np.ones(1), W, W.T], ValueError, "2 and 1 are one array, or share memory"),
        ([W, W[:1]], ValueError, "1 and 0 are one array, or share memory"),
        ([W, np.ones(2, "f4")], TypeError, "parameter 1 is float32, the ones before it float64"),
        ([3, "x"], ValueError, "list holds no parameters"),
        ([W, {"a": np.ones(1)}], TypeError, "dict is no dataclass.*so its a would not be trained"),
        ([W, {"a": affine(1, 1)}], TypeError, "so its a would not"),
        ([W, SimpleNamespace(V=np.ones(1))], TypeError, "SimpleNamespace is no dataclass"),
        ([W, SimpleNamespace(a=1, V=[np.ones(1)])], TypeError, "so its V would not be trained"),
        ([W, SimpleNamespace(V=({"a": affine(1, 1)},))], TypeError, "so its V would not"),
        ([W, SimpleNamespace(V=SimpleNamespace(U=[W]))], TypeError, "so its V would not"),
        ([W, {"a": [affine(1, 1), affine(1, 1)], "b": [1]}], TypeError, "so its a would not be"),
        ({"a": {"b": affine(1, 1)}}, TypeError, "dict is no dataclass.*so its a would not"),
    ],
)
def test_refused(tree, error, words):
    with pytest.raises(error, match=words):
        table_of(tree)


def test_what_holds_no_parameters_is_let_through():
    settings = SimpleNamespace(a=[1, "x", np.arange(3)], module=np, kind=Net, f=affine)
    settings.itself = settings
    tree = [W, settings, {"sizes": [1, 2], "masks": [np.ones(2, bool)]}, np, Net]
    assert [entry.name for entry in table_of(tree)] == ["0"]


def test_one_layer_in_two_fields_is_refused():
    shared = affine(2, 2)
    with pytest.raises(ValueError, match=r"1\.W and 0\.W are one array.*hold a shared layer in"):
        pack([shared, shared])


def test_interleaved_columns_share_no_memory():
    base = np.arange(8.0).reshape(2, 4)
    _, params = pack([base[:, ::2], base[:, 1::2]])
    assert params.vector.tolist() == [0, 2, 4, 6, 1, 3, 5, 7]


# -- models ------------------------------------------------------------------------------


@dataclass
class Tiny(bh.Packed):
    config: str
    encoder: Affine
    decoder: list
    scale: np.ndarray = bh.constant()


def tiny():
    return Tiny("c", affine(2, 3), [affine(3, 2)], np.full(2, 0.5, "f4"))


def test_packed_models():
    model = tiny()
    assert model.params.parts == ("encoder", "decoder")
    model.params.part("decoder")[...] = 0
    assert not model.decoder[0].W.any()
    assert model.encoder.W.any()

    double = model.over(model.params.vector.astype(np.float64))
    assert isinstance(double, Tiny)
    assert double.params.table == model.params.table
    assert double.params.vector.dtype == double.encoder.W.dtype == double.scale.dtype == "float64"
    assert model.params.vector.dtype == model.scale.dtype == "float32"
    double.params.vector[...] = 1
    assert (double.encoder.b == 1).all()
    assert (model.encoder.b == -1).all()


def test_a_model_over_a_model_over():
    model = tiny()
    back = model.over(model.params.vector.astype("f8")).over(model.params.vector)
    assert np.shares_memory(back.encoder.W, model.encoder.W)
    assert back.scale.dtype == "float32"
