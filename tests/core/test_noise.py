"""Noise by counter: what it depends on, and what it does not."""

import numpy as np
import pytest

from backhand.noise import Noise, order, purpose_key

INDEX = np.array([5, 0, 3])
PINNED = [0.05228768506351336, 0.9308790045771533, 0.4566082180168662]
PINNED_ORDER = [0, 4, 2, 3, 5, 1]


def test_samples_in_pieces_are_the_same_samples():
    whole = Noise(1, 2).normal("latent", INDEX, (4,), k=7)
    pieces = [
        Noise(1, 2, first).normal("latent", INDEX, (4,), k=n) for first, n in ((0, 3), (3, 4))
    ]
    assert whole.shape == (7, 3, 4)
    assert np.array_equal(np.concatenate(pieces), whole)


def test_it_is_keyed_by_datum_and_not_by_place():
    noise = Noise(1, 2).uniform("latent", INDEX, (2, 3))
    assert np.array_equal(Noise(1, 2).uniform("latent", INDEX[::-1].copy(), (2, 3)), noise[::-1])
    assert np.array_equal(Noise(1, 2).uniform("latent", INDEX[1:], (2, 3)), noise[1:])


@pytest.mark.parametrize(
    "other",
    [
        lambda: Noise(2, 2).normal("latent", INDEX, (4,)),
        lambda: Noise(1, 3).normal("latent", INDEX, (4,)),
        lambda: Noise(1, 2, 1).normal("latent", INDEX, (4,)),
        lambda: Noise(1, 2).normal("prior", INDEX, (4,)),
        lambda: Noise(1, 2).normal("latent", INDEX, (4,), layer=1),
        lambda: Noise(1, 2).normal("latent", INDEX + 1, (4,)),
    ],
)
def test_everything_in_the_key_counts(other):
    assert not np.intersect1d(Noise(1, 2).normal("latent", INDEX, (4,)), other()).size


def test_values_are_part_of_every_recorded_result():
    """Pinned: a change here changes all published numbers."""
    assert purpose_key("latent", 7) == 3 << 16 | 7
    assert purpose_key("user") == 9 << 16
    found = Noise(11, 5).normal("latent", np.array([2]), (3,), dtype="float64")[0]
    assert np.allclose(found, PINNED, rtol=1e-14)
    assert order(3, 2, 6).tolist() == PINNED_ORDER


def test_wrong_use_is_named():
    with pytest.raises(ValueError, match="unknown purpose 'latnet'"):
        Noise(0).normal("latnet", INDEX, (1,))
    with pytest.raises(ValueError, match="below 65536"):
        Noise(0).normal("latent", INDEX, (1,), layer=1 << 16)
