"""Scenes: what is in them, where, and that they are fixed where they must be."""

import numpy as np
import pytest

import backhand as bh
from backhand.cli import main
from backhand.data import DataError, batch_of, batches, load
from backhand.data.scenes import CUT, CUTS, SIDES, Scene
from backhand.data.split import typical
from backhand.models.draw import DRAW, DRAWConfig


def stamps(n, value=0.125, size=28):
    """Pictures of one grey: what is added of them can be weighed."""
    return np.full((n, size, size), value)


@pytest.mark.parametrize(("kind", "area"), [("two-digits", 28**2), ("cluttered", CUTS * CUT**2)])
def test_a_scene_is_the_datum_and_what_is_added(kind, area):
    scene = Scene(kind, 0, stamps(5, 0.0625))
    x = stamps(40, 0.25)
    made = scene(x, np.arange(40), bh.Noise(1), 0)
    assert made.shape == (40, SIDES[kind], SIDES[kind])
    np.testing.assert_allclose(made.sum(axis=(1, 2)), 784 * 0.25 + area * 0.0625, rtol=1e-12)
    alone = Scene(kind, 0, stamps(5, 0.0))(x, np.arange(40), bh.Noise(1), 0)
    for picture in alone:  # the datum, whole and unmoved within itself
        rows, columns = picture.any(axis=1).nonzero()[0], picture.any(axis=0).nonzero()[0]
        assert len(rows) == len(columns) == 28
        assert (picture[rows[0] : rows[0] + 28, columns[0] : columns[0] + 28] == 0.25).all()


@pytest.mark.parametrize("kind", SIDES)
def test_places_are_uniform_and_reach_all_borders(kind):
    made = Scene(kind, 0, stamps(2, 0.0))(stamps(4000, 1.0), np.arange(4000), bh.Noise(3), 0)
    last = SIDES[kind] - 28
    rows, columns = (made.any(axis=axis).argmax(axis=1) for axis in (2, 1))
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 5 / np.sqrt(4000)
    for axis in (1, 2):
        first = made.any(axis=axis).argmax(axis=1)
        assert (first.min(), first.max()) == (0, last)
        counts = np.bincount(first, minlength=last + 1)
        expected = 4000 / (last + 1)
        chi2 = ((counts - expected) ** 2 / expected).sum()
        assert chi2 < last + 5 * np.sqrt(2 * last)


def test_sums_end_at_one():
    made = Scene("two-digits", 0, stamps(3, 0.75))(
        stamps(200, 0.75), np.arange(200), bh.Noise(0), 0
    )
    assert made.max() == 1
    assert (made == 1).any(axis=(1, 2)).sum() > 20


def test_the_other_digit_may_be_any():
    others = np.stack([stamps(1, (i + 1) / 256)[0] for i in range(7)])
    made = Scene("two-digits", 0, others)(stamps(300, 0.0), np.arange(300), bh.Noise(0), 0)
    assert set(np.unique(made) * 256) == set(range(8))


def mnist(**options):
    return load("mnist-mini", limit=50, **options)


def test_training_scenes_are_new_at_every_step_and_the_others_fixed():
    data = mnist(scene="two-digits").converted("float32")
    assert data.spec.shape == (60, 60)
    assert data.train.y is None
    index = np.arange(6)
    one, again, two = (batch_of(data.train, index, bh.Noise(0, s)).x for s in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not (one == two).all(axis=(1, 2)).any()
    assert set(np.unique(one)) == {0.0, 1.0}  # binarised, as mnist-mini is
    whole = next(batches(data.test, 30)).x
    parts = np.concatenate([batch.x for batch in batches(data.test.rows(slice(0, 30)), 7)])
    assert np.array_equal(whole, parts)
    grey = next(
        batches(mnist(scene="two-digits", binarisation="none").converted("float32").test, 30)
    )
    assert len(np.unique(grey.x)) > 100
    assert (grey.x[whole == 1] > 0).all()  # the same scenes, binarised


def test_only_the_training_data_asked_for_are_ever_seen():
    data = mnist(scene="cluttered")
    assert len(data.train.scene.others) == len(data.test.scene.others) == 50
    assert data.test.y is not None
    other = mnist(scene="two-digits")
    assert other.test.scene.others is other.test.x


def test_a_model_starts_at_the_mean_of_scenes():
    data = mnist(scene="two-digits").converted("float64")
    x = typical(data.train)
    assert x.shape == (50, 60, 60)
    model = DRAW.create(DRAWConfig(glimpses=2, hidden=4, latent=2), data.spec, x, dtype="float64")
    first = model.film(1, bh.Noise(0)).canvas[0, 0]
    np.testing.assert_allclose(first, x.mean(axis=0).clip(0.001, 0.999), rtol=1e-12)
    plain = mnist().converted("float64").train
    assert typical(plain) is plain.x


def test_the_command_line_trains_on_scenes(tmp_path, capsys):
    run = str(tmp_path / "run")
    small = [w for f in ("glimpses=2", "hidden=4", "latent=2", "valid=5") for w in ("--set", f)]
    train = ["train", "draw", "--data", "mnist-mini", "--set", "scene=two-digits", "--limit", "20"]
    assert main([*train, "--steps", "2", "--batch", "5", "--run", run, *small]) == 0
    assert main(["evaluate", run, "--limit", "5"]) == 0
    assert main(["reconstruct", run, "-n", "2", "-o", str(tmp_path / "r.gif")]) == 0
    assert bh.load(run).spec.shape == (60, 60)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scene": "three"}, "scene must be one of two-digits, cluttered"),
        ({"scene": "cluttered", "binarisation": "once"}, "binarised dynamically or not at all"),
    ],
)
def test_scenes_that_make_no_sense_are_refused(options, words):
    with pytest.raises(DataError, match=words):
        mnist(**options)


def test_data_that_are_no_small_pictures_are_refused():
    for x, words in (
        (np.random.default_rng(0).random((9, 12)), "needs grey pictures, from 8 x 8"),
        (np.random.default_rng(0).random((9, 70, 70)), "from 8 x 8 to 60 x 60"),
        (np.random.default_rng(0).random((9, 28, 28, 3)), "needs grey pictures"),
        (np.random.default_rng(0).normal(size=(9, 28, 28)), "is real"),
    ):
        with pytest.raises(DataError, match=words):
            load(x, scene="two-digits")
