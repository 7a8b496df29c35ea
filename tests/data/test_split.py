"""Batches, their order, and binarisation."""

import numpy as np
import pytest

from backhand.data import (
    DataError,
    batch_at,
    batch_of,
    batches,
    binarised,
    load,
    minibatches,
    steps_per_epoch,
)
from backhand.noise import Noise, order

GREY = np.random.default_rng(1).integers(0, 256, (60, 5, 4), dtype=np.uint8)
PARTS = {
    "train_x": GREY[:40],
    "train_y": np.arange(40),
    "valid_x": GREY[40:50],
    "test_x": GREY[50:],
}


def grey(binarisation="none", dtype="float32"):
    return load(PARTS, binarisation=binarisation).converted(dtype)


def test_minibatches_show_each_datum_once_and_keep_the_last():
    found = list(minibatches(25, 10, seed=3, epoch=2))
    assert [len(index) for index in found] == [10, 10, 5]
    np.testing.assert_array_equal(np.concatenate(found), order(3, 2, 25))
    assert sorted(np.concatenate(found)) == list(range(25))


def test_batch_at_is_a_function_of_the_step():
    n, batch, seed = 25, 10, 3
    assert steps_per_epoch(n, batch) == 3
    everything = [(e, i) for e in (1, 2, 3) for i in minibatches(n, batch, seed, e)]
    for step in (7, 1, 9, 4, 3, 2, 8, 5, 6):
        epoch, index = batch_at(n, batch, seed, step)
        assert epoch == everything[step - 1][0]
        np.testing.assert_array_equal(index, everything[step - 1][1])
    assert not np.array_equal(batch_at(n, batch, 3, 1)[1], batch_at(n, batch, 4, 1)[1])
    assert not np.array_equal(batch_at(n, batch, 3, 1)[1], batch_at(n, batch, 3, 4)[1])


def test_batch_larger_than_the_data():
    assert batch_at(3, 100, 0, 5)[0] == 5
    assert sorted(batch_at(3, 100, 0, 5)[1]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("args", "match"),
    [((0, 1, 0, 1), "n must"), ((9, 0, 0, 1), "batch must"), ((9, 1, 0, 0), "step must")],
)
def test_wrong_batch_at(args, match):
    with pytest.raises(ValueError, match=f"{match} be at least 1, got 0"):
        batch_at(*args)


def test_order_cannot_be_spoilt():
    with pytest.raises(ValueError, match="read-only"):
        batch_at(9, 3, 0, 1)[1][0] = 5


def test_batch_of():
    data = grey()
    index = np.array([7, 0, 39])
    batch = batch_of(data.train, index, Noise(5, 1))
    np.testing.assert_array_equal(batch.x, (GREY[index] / 255).astype(np.float32))
    np.testing.assert_array_equal(batch.y, index)
    np.testing.assert_array_equal(batch.index, index)
    assert batch.mask is None


def test_batches_in_order():
    found = list(batches(grey().test, 4))
    assert [len(batch.x) for batch in found] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([b.index for b in found]), np.arange(10))
    np.testing.assert_array_equal(
        np.concatenate([b.x for b in found]), (GREY[50:] / 255).astype(np.float32)
    )
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        list(batches(grey().test, 0))


def test_dynamic_binarisation_is_a_function_of_datum_and_step():
    data = grey("dynamic")
    assert data.spec.kind == "binary"
    index = np.array([3, 11, 4])
    one = batch_of(data.train, index, Noise(5, 1)).x
    assert set(np.unique(one)) == {0, 1}
    np.testing.assert_array_equal(one[1:2], batch_of(data.train, index[1:2], Noise(5, 1)).x)
    for other in (Noise(5, 2), Noise(6, 1)):
        assert (one != batch_of(data.train, index, other).x).any()


def test_dynamic_binarisation_has_the_grey_values_as_means():
    data = grey("dynamic")
    index, steps = np.arange(40), 400
    mean = sum(batch_of(data.train, index, Noise(0, s)).x for s in range(1, steps + 1)) / steps
    p = GREY[:40] / 255
    z = (mean - p)[p * (1 - p) > 0] / np.sqrt(p * (1 - p) / steps)[p * (1 - p) > 0]
    assert abs(z).max() < 5
    assert 0.9 < z.std() < 1.1
    assert (mean[p == 0] == 0).all()
    assert (mean[p == 1] == 1).all()


@pytest.mark.parametrize("binarisation", ["once", "dynamic"])
def test_valid_and_test_are_binarised_by_the_data_sets_own_seed(binarisation):
    data = grey(binarisation)
    for number, split in ((1, data.valid), (2, data.test)):
        assert set(np.unique(split.x)) == {0, 1}
        raw = (GREY[40:50] if number == 1 else GREY[50:]) / np.float32(255)
        wanted = binarised(raw, np.arange(10), Noise(data.info["seed"]), number)
        np.testing.assert_array_equal(split.x, wanted)
        for seed in (0, 1):  # the run's noise has no say
            batch = batch_of(split, np.arange(10), Noise(seed, 9))
            np.testing.assert_array_equal(batch.x, wanted)
        np.testing.assert_array_equal(next(batches(split, 10)).x, wanted)
    assert (data.valid.x != data.test.x).any()


def test_once_and_dynamic_differ_in_the_training_data_alone():
    once, dynamic = grey("once"), grey("dynamic")
    np.testing.assert_array_equal(once.test.x, dynamic.test.x)
    assert set(np.unique(once.train.x)) == {0, 1}
    assert len(np.unique(dynamic.train.x)) > 100
    # In order, without a run, training data are binarised by the data set's seed as well.
    np.testing.assert_array_equal(next(batches(dynamic.train, 40)).x, once.train.x)


def test_binarisation_is_the_same_in_all_dtypes():
    for mode in ("once", "dynamic"):
        single, double = grey(mode, "float32"), grey(mode, "float64")
        assert double.train.x.dtype == np.float64
        np.testing.assert_array_equal(single.test.x, double.test.x)
        index = np.arange(40)
        for step in range(20):
            np.testing.assert_array_equal(
                batch_of(single.train, index, Noise(1, step)).x,
                batch_of(double.train, index, Noise(1, step)).x,
            )


def test_binarisation_in_chunks(monkeypatch):
    data = load(PARTS, binarisation="once")
    wanted = data.converted("float32").train.x
    monkeypatch.setattr("backhand.data.split._ROWS", 7)
    np.testing.assert_array_equal(data.converted("float32").train.x, wanted)


def test_converting_again_changes_nothing():
    for mode in ("none", "once", "dynamic"):
        once = grey(mode)
        twice = once.converted("float32")
        for a, b in zip((once.train, once.test), (twice.train, twice.test), strict=True):
            np.testing.assert_array_equal(a.x, b.x)
    single = load(PARTS, binarisation="dynamic").test.first(4).converted("float32")
    np.testing.assert_array_equal(single.x, grey("dynamic").test.x[:4])


def test_wrong_binarisation():
    with pytest.raises(DataError, match="one of none, once, dynamic, got 'static'"):
        load(PARTS, binarisation="static")
    with pytest.raises(DataError, match=r"needs grey values.*array is binary"):
        load(GREY[:, 0] % 2, binarisation="once")
    with pytest.raises(DataError, match=r"use Data.converted"):
        batch_of(load(PARTS, binarisation="dynamic").train, np.arange(3), Noise(0, 1))
