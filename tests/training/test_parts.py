"""Parts of a batch on threads of their own find what one thread finds."""

import threading

import numpy as np
import pytest

import backhand as bh
from backhand.backend import asked_for
from backhand.parts import Team
from backhand.threads import thread_counts
from backhand.training import fit

CONFIG = bh.TrainConfig(epochs=2, batch=9, dtype="float64", clip=1.0)


@pytest.fixture(autouse=True)
def _as_before():
    before = thread_counts()["parts"]
    yield
    bh.set_threads(parts=before)


def drawing():
    config = bh.DRAWConfig(glimpses=3, read=2, write=2, hidden=8, latent=2)
    return bh.DRAW.create(config, bh.DataSpec((4, 5), "binary"), dtype="float64")


def trained(parts, model):
    rng = np.random.default_rng(0)
    x = (rng.random((41, 4, 5)) < rng.random((4, 5))).astype(np.float32)
    bh.set_threads(parts=parts)
    found = fit(model, bh.data.load(x, valid=4), CONFIG)
    return model.params.vector.copy(), found.train


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_find_what_the_whole_finds(parts):
    one, train = trained(1, drawing())
    several, its = trained(parts, drawing())
    again, _ = trained(parts, drawing())
    np.testing.assert_allclose(several, one, rtol=1e-9, atol=1e-12)
    assert its == pytest.approx(train, rel=1e-12)
    assert not np.array_equal(several, one), "nothing was shared"
    assert np.array_equal(several, again), "the same parts give the same bits"


def test_training_threads_of_a_recurrent_model_are_parts():
    seen = []
    x = np.zeros((20, 4, 5), np.float32)
    x[::2] = 1
    config = bh.TrainConfig(steps=1, batch=9, dtype="float64", threads=2)
    fit(drawing(), bh.data.load(x), config, report=lambda _: seen.append(thread_counts()))
    assert seen[0]["parts"] == 2
    assert all(n == 1 for name, n in seen[0].items() if name != "parts")
    assert thread_counts()["parts"] == 1


def test_free_bits_keep_a_batch_whole():
    x = (np.random.default_rng(0).random((20, 4, 5)) < 0.5).astype(np.float32)
    config = bh.TrainConfig(epochs=2, batch=9, dtype="float64", free_bits=0.1)
    vectors = []
    for parts in (1, 2):
        bh.set_threads(parts=parts)
        model = drawing()
        fit(model, bh.data.load(x), config)
        vectors.append(model.params.vector)
    assert np.array_equal(*vectors)


def grads():
    return [bh.grads_like(bh.layers.Linear(np.zeros((2, 3)), np.zeros(3)))]


def test_every_row_is_in_one_part_and_the_sum_in_the_first():
    bh.set_threads(parts=3)
    team, threads = Team(grads), set()

    def work(rows, grads):
        threads.add(threading.get_ident())
        grads[0].zero()
        grads[0].b.add(np.full(3, float(rows.stop - rows.start)))
        grads[0].flush()
        return list(range(10))[rows]

    with bh.use_backend("numpy"):
        found = team.run(lambda rows, g: (work(rows, g), asked_for()), 10)
    assert [row for rows, _ in found for row in rows] == list(range(10))
    assert [backend for _, backend in found] == ["numpy"] * 3, "as the caller asked"
    assert team.grads[0].b.array.tolist() == [10.0] * 3
    assert len(threads) > 1
    assert len(team.run(work, 2)) == 2, "no part is empty"


def test_an_error_in_a_part_reaches_the_caller_when_all_are_done():
    bh.set_threads(parts=2)
    done = []

    def work(rows, grads):
        if rows.start:
            raise ValueError("in the second")
        done.append(rows)

    with pytest.raises(ValueError, match="in the second"):
        Team(grads).run(work, 4)
    assert len(done) == 1
