"""What validation draws, what a resume in the middle of an epoch keeps, and threads inside fit."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from backhand import backends, checkpoint
from backhand.config import DataConfig, TrainConfig
from backhand.data import batches, load
from backhand.evaluation import evaluate
from backhand.models.vae import VAE, VAEConfig
from backhand.noise import Noise
from backhand.runs import Run, Settings
from backhand.training import fit

CONFIG = VAEConfig(hidden=(6,), latent=3)
SHORT = TrainConfig(epochs=2, batch=16, seed=5, k=3)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return load((rng.random((90, 12)) < rng.random(12)).astype(np.float32), valid=20)


def new(data):
    return VAE.create(CONFIG, data.spec, data.converted("float32").train.x)


def test_validation_takes_the_runs_seed_and_samples_at_step_0(data):
    model = new(data)
    result = fit(model, data, SHORT)
    (batch,) = batches(data.converted("float32").valid, 20)
    by_hand = -model.bound(batch, Noise(5, 0), k=3).value.mean()
    assert np.isclose(result.valid, by_hand, rtol=1e-6)


class Killed(Exception):
    pass


def test_a_death_between_checkpoints_of_an_epoch_changes_nothing(data, tmp_path):
    """5 steps are an epoch; the checkpoint of step 7 holds the sums of steps 6 and 7."""
    config = replace(SHORT, checkpoint_minutes=1e-9)

    def open_run(name):
        return Run.create(tmp_path / name, Settings("vae", CONFIG, config, DataConfig()))

    whole, killed = open_run("whole"), open_run("killed")
    one = new(data)
    fit(one, data, config, run=whole)

    def kill(row):
        if row["step"] == 8:
            file = killed.path / checkpoint.file_name(8)
            file.unlink()  # as if it had not been reached
            raise Killed

    with pytest.raises(Killed):
        fit(new(data), data, config, run=killed, report=kill)
    assert checkpoint.steps(killed.path)[-1] == 7
    two = new(data)
    steps = []
    fit(two, data, config, run=Run.open(killed.path), report=lambda row: steps.append(row["step"]))
    assert steps == [8, 9, 10]
    assert np.array_equal(one.params.vector, two.params.vector)
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in Run.open(run.path).metrics()]
        for run in (whole, killed)
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 2


def test_a_limited_evaluation_takes_the_first_rows(data):
    model = new(data)
    whole = evaluate(model, data, split="valid").per_example
    part = evaluate(model, data, split="valid", limit=7).per_example
    assert part.shape == (7,)
    assert np.allclose(part, whole[:7], rtol=1e-5)
    assert not np.allclose(part, whole[-7:], rtol=1e-5)


PROGRAM = """
from contextlib import nullcontext
import numpy as np
import backhand as bh
from backhand.config import TrainConfig
from backhand.threads import thread_counts

data = bh.data.load((np.random.default_rng(0).random((40, 5)) < 0.5).astype(np.float32))
def counts():
    found = thread_counts()
    return found["openblas"], found.get("native"), found["parts"]

seen = []
for threads, k, bits in ((0, 1, 0), (1, 1, 0), (2, 1, 0), (2, 9, 0), (1, 9, 0), (2, 9, 0.1)):
    model = bh.VAE.create(bh.VAE.Config(hidden=(4,), latent=2), data.spec)
    config = TrainConfig(steps=1, threads=threads, k=k, free_bits=bits)
    bh.fit(model, data, config, report=lambda _: seen.append(counts()))
for where in (TrainConfig(steps=1, threads=2, k=9, backend="numpy"), None):
    model = bh.VAE.create(bh.VAE.Config(hidden=(4,), latent=2), data.spec)
    with nullcontext() if where else bh.use_backend("numpy"):
        config = where or TrainConfig(steps=1, threads=2, k=9)
        bh.fit(model, data, config, report=lambda _: seen.append(counts()))
print([*seen, counts()])
"""


def test_threads_of_the_training_table_hold_inside_fit_only():
    """In a process with two of them, as one thread may be all that a test run has."""
    two = {"OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **two},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    native = backends()["native"].available
    alone = 1 if native else None
    one, blas, parts, kernels = (1, alone, 1), (2, alone, 1), (1, alone, 2), (1, 2, 1)
    # With 9 samples there are 324 rows; free bits look at the whole batch.
    few, many, whole = (kernels,) * 3 if native else (blas, parts, blas)
    # NumPy's own products are not shared by rows, whatever is compiled.
    expected = [blas, one, few, many, one, whole, parts, parts, blas]
    assert done.stdout.strip() == str(expected), done.stderr
