"""Columns that a type has no digits for are refused rather than made constant."""

import re

import numpy as np
import pytest

import backhand as bh
from backhand.data import DataError, load

rng = np.random.default_rng(0)


def table(column):
    return np.column_stack([rng.normal(size=(len(column), 2)), column])


REFUSED = {
    "a time near 1.6e9": 1.6e9 + rng.normal(size=200),
    "steps a little too coarse": 10_000 + 0.5 * rng.normal(size=200),
    "whole numbers": 1_700_000_000 + rng.integers(0, 50, 200),
    "below zero": -1.6e9 + rng.normal(size=200),
}
TAKEN = {
    "times over a year": 1.6e9 + 1e7 * rng.normal(size=200),
    "steps fine enough": 10_000 + 5 * rng.normal(size=200),
    "constant": np.full(200, 1.6e9 + 0.1),
    "constant but for rounding": np.where(np.arange(200) % 2, 0.1, np.nextafter(0.1, 1)),
    "whole numbers that are kept": 10_000_000 + rng.integers(0, 5, 200),
    "small": 1e-20 * rng.normal(size=200),
}


@pytest.mark.parametrize("column", REFUSED.values(), ids=REFUSED)
def test_refused_in_float32_and_taken_in_float64(column):
    data = load(table(column))
    with pytest.raises(DataError, match=r"column 2 .*subtract an offset.*dtype=float64"):
        data.converted("float32")
    assert np.array_equal(data.converted("float64").train.x, data.train.x)


@pytest.mark.parametrize("column", TAKEN.values(), ids=TAKEN)
def test_taken(column):
    assert load(table(column)).converted("float32").train.x.dtype == np.float32


def test_the_cure_that_the_message_names_helps():
    column = REFUSED["a time near 1.6e9"]
    assert load(table(column - 1.6e9)).converted("float32").train.x[:, 2].std() > 0.5


def test_what_comes_in_float32_is_as_precise_as_it_was():
    x = table(1.6e9 + 300 * rng.normal(size=200)).astype(np.float32)
    assert np.array_equal(load(x, valid=0).converted("float32").train.x, x)


def test_whole_numbers_and_arrays_of_more_axes():
    x = rng.integers(0, 9, (50, 2, 3))
    x[:, 1, 2] += 1_700_000_000
    with pytest.raises(DataError, match=re.escape("column (1, 2)")):
        load(x).converted("float32")


def test_a_model_is_not_trained_on_them(tmp_path):
    data = load(table(REFUSED["a time near 1.6e9"]))
    model = bh.VAE.create(bh.VAEConfig(hidden=(4,), latent=2), data.spec)
    with pytest.raises(DataError, match="column 2"):
        bh.fit(model, data, bh.TrainConfig(epochs=1))
