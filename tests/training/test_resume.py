"""A run that is killed goes on bit for bit; a damaged one says so and loses nothing.

The trainings are subprocesses of the command line on a small file, with a checkpoint at the end
of each epoch of a few milliseconds, so that many kills fall into the writing of one.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import backhand as bh
from backhand import checkpoint
from backhand.runs import Run

EPOCHS = 250
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}


def command(data, folder, *more, epochs=EPOCHS):
    settings = ["hidden=9", "latent=2", "clip=1.0", "kl_warmup=5", "schedule=cosine"]
    return [
        sys.executable, "-m", "backhand", "train", "vae", "--data", str(data), "--run", str(folder),
        "--batch", "8", "--epochs", str(epochs), "--json",
        *(word for setting in settings for word in ("--set", setting)), *more,
    ]  # fmt: skip


def run(words):
    return subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def final(folder):
    """All that a finished run says: parameters, optimiser state, metrics but for the seconds."""
    arrays, meta = checkpoint.latest(folder)
    best = checkpoint.load(Path(folder) / "best.npz")
    meta["progress"].pop("seconds")
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in Run.open(folder).metrics()]
    return arrays, meta, rows, best.arrays


def same(a, b):
    for x, y in ((a[0], b[0]), (a[3], b[3])):
        assert x.keys() == y.keys()
        for name in x:
            assert np.array_equal(x[name], y[name]), name
    assert a[1] == b[1]
    assert a[2] == b[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "small.npy"
    np.save(path, (rng.random((40, 12)) < rng.random(12)).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = run(command(data, folder))
    assert done.returncode == 0, done.stderr
    return folder


def test_killed_at_twenty_random_moments(data, uninterrupted, tmp_path):
    folder, kills = tmp_path / "killed", 0
    moments = random.Random(0)
    while kills < 22:
        # Epochs so far plus a few: each life makes some progress, and then dies at random.
        process = subprocess.Popen(
            command(data, folder, "--resume"), env=ENVIRONMENT,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        for _ in range(moments.randrange(1, 9)):
            if not process.stderr.readline():
                break
        time.sleep(moments.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.stderr.close()
        if process.wait() == -signal.SIGKILL:
            kills += 1
        else:
            pytest.fail("the training was over before it could be killed: raise EPOCHS")
    step = checkpoint.latest(folder).meta["progress"]["step"]
    assert 0 < step < EPOCHS * 5, "the kills must fall inside the run"
    done = run(command(data, folder, "--resume"))
    assert done.returncode == 0, done.stderr
    same(final(folder), final(uninterrupted))


KILL_IN_WRITE = """
import os, signal, sys, zipfile
from backhand import checkpoint
from backhand.cli import main
count, when, where = 0, int(sys.argv[1]), sys.argv[2]
def die(name, original):
    def wrapped(*args, **kwargs):
        global count
        count += 1
        if count == when:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)
    return wrapped
if where == "replace": os.replace = die(where, os.replace)
if where == "fsync": os.fsync = die(where, os.fsync)
if where == "array":
    form = checkpoint.np.lib.format
    form.write_array = die(where, form.write_array)
sys.exit(main(sys.argv[3:]))
"""


@pytest.mark.parametrize("where", ["array", "fsync", "replace"])
def test_killed_inside_a_checkpoint_write(data, uninterrupted, tmp_path, where):
    folder = tmp_path / "run"
    words = command(data, folder, "--resume")[3:]
    for when in (5, 23, 50):
        died = run([sys.executable, "-c", KILL_IN_WRITE, str(when), where, *words])
        assert died.returncode == -signal.SIGKILL, died.stderr
    done = run(command(data, folder, "--resume"))
    assert done.returncode == 0, done.stderr
    assert not list(folder.glob("*.tmp"))
    same(final(folder), final(uninterrupted))


def test_a_finished_run_is_left_alone(data, uninterrupted):
    before = {path: path.read_bytes() for path in uninterrupted.iterdir()}
    again = run(command(data, uninterrupted, "--resume"))
    assert again.returncode == 0
    assert "is finished" in again.stderr
    assert json.loads(again.stdout)["steps"] == EPOCHS * 5
    after = {path: path.read_bytes() for path in uninterrupted.iterdir()}
    assert {p.name for p in before} == {p.name for p in after}
    for path in before:
        if path.suffix in (".npz", ".jsonl", ".toml"):
            assert before[path] == after[path], path


def test_more_epochs_go_on_where_a_longer_run_would_be(data, tmp_path):
    settings = ["--set", "schedule=constant", "--set", "kl_warmup=0"]
    for name, lengths in (("whole", [6]), ("parts", [2, 4, 6])):
        for epochs in lengths:
            done = run(command(data, tmp_path / name, *settings, "--resume", epochs=epochs))
            assert done.returncode == 0, done.stderr
    same(final(tmp_path / "whole"), final(tmp_path / "parts"))


def test_a_run_is_not_overwritten_nor_changed(data, uninterrupted):
    refused = run(command(data, uninterrupted))
    assert refused.returncode == 2
    assert "is not empty" in refused.stderr
    changed = run(command(data, uninterrupted, "--resume", "--lr", "0.5"))
    assert changed.returncode == 2
    assert "training.lr = 0.001" in changed.stderr
    other = run([*command(data, uninterrupted, "--resume", "--set", "latent=3")])
    assert other.returncode == 2
    assert "model.latent = 2" in other.stderr


def test_a_schedule_that_depends_on_the_length_is_not_stretched(data, uninterrupted):
    longer = run(command(data, uninterrupted, "--resume", "--epochs", "999"))
    assert longer.returncode == 2
    assert "cosine schedule" in longer.stderr


def test_two_processes_do_not_train_in_one_folder(data, tmp_path):
    folder = tmp_path / "run"
    words = command(data, folder, "--resume", epochs=100_000)
    first = subprocess.Popen(
        words, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    first.stderr.readline()
    try:
        second = subprocess.run(
            words, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60
        )
    finally:
        first.kill()
    first.stderr.close()
    first.wait()
    assert second.returncode == 2
    assert "another process is training" in second.stderr


def test_asked_to_stop_it_writes_a_checkpoint_first(data, tmp_path):
    folder = tmp_path / "run"
    words = command(data, folder, "--resume", "--set", "schedule=constant", epochs=3000)
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(
            words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3):
            process.stderr.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert out == ""
        step = checkpoint.latest(folder).meta["progress"]["step"]
        assert f"stopped after step {step}; go on with --run" in err


def test_two_that_start_at_once_do_not_spoil_each_other(data, tmp_path):
    for i in range(3):
        folder = tmp_path / str(i)
        words = [command(data, folder, "--set", f"latent={n}", epochs=5) for n in (2, 3)]
        both = [
            subprocess.Popen(w, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for w in words
        ]
        for process in both:
            process.communicate(timeout=60)
        assert sorted(process.returncode for process in both) == [0, 2]
        assert bh.load(folder).config.latent == (2, 3)[both[1].returncode == 0]


def test_killed_before_its_first_file_it_can_start_again(data, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.toml.tmp").write_text("[mod")
    assert run(command(data, folder, "--resume", epochs=1)).returncode == 0


def test_other_data_under_the_same_name_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    file = tmp_path / "mine.npy"
    np.save(file, (rng.random((40, 12)) < 0.5).astype(np.float32))
    folder = tmp_path / "run"
    assert run(command(file, folder, epochs=2)).returncode == 0
    np.save(file, (rng.random((40, 12)) < 0.5).astype(np.float32))
    for words in (
        command(file, folder, "--resume", epochs=2),
        [sys.executable, "-m", "backhand", "evaluate", str(folder), "--split", "valid"],
    ):
        failed = run(words)
        assert failed.returncode == 2
        assert "does not hold the data" in failed.stderr


def test_a_backend_that_cannot_run_it_leaves_no_folder(data, tmp_path):
    failed = run(command(data, tmp_path / "run", "--backend", "cuda", epochs=1))
    assert failed.returncode == 2
    assert "backend 'cuda'" in failed.stderr
    assert not (tmp_path / "run").exists()


def test_metrics_that_are_none_are_named(data, tmp_path):
    folder = tmp_path / "run"
    run(command(data, folder, epochs=1))
    with open(folder / "metrics.jsonl", "a") as file:
        file.write("not json\n")
    failed = run(command(data, folder, "--resume", epochs=1))
    assert failed.returncode == 2
    assert "metrics.jsonl, line 2" in failed.stderr


def test_a_damaged_checkpoint_is_passed_over(data, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    run(command(data, folder, epochs=4))
    newest = folder / checkpoint.file_name(checkpoint.steps(folder)[-1])
    newest.write_bytes(newest.read_bytes()[:-200])
    done = run(command(data, folder, "--resume", epochs=4))
    assert done.returncode == 0, done.stderr
    assert "damaged" in done.stderr
    whole = tmp_path / "whole"
    run(command(data, whole, epochs=4))
    same(final(folder), final(whole))


def test_foreign_checkpoints_are_one_clear_error(data, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    run(command(data, folder, epochs=2))
    for path in folder.glob("step-*.npz"):
        np.savez(path, vector=np.zeros(3))
    failed = run(command(data, folder, "--resume", epochs=2))
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert "was not written by backhand" in failed.stderr


def test_a_checkpoint_of_another_shape_is_named(data, tmp_path):
    folder = tmp_path / "run"
    run(command(data, folder, epochs=2))
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("latent = 2", "latent = 4"))
    with pytest.raises(checkpoint.CheckpointError, match=r"config\.toml does not belong to it"):
        bh.load(folder)


def test_load_needs_no_other_argument(uninterrupted):
    model = bh.load(uninterrupted)
    last = bh.load(uninterrupted, which="last")
    assert model.config.latent == 2
    best = checkpoint.load(uninterrupted / "best.npz")
    assert np.array_equal(model.params.vector, best.arrays["vector"])
    assert not np.array_equal(last.params.vector, model.params.vector)
    with pytest.raises(FileNotFoundError, match="holds no run"):
        bh.load(uninterrupted / "nowhere")


def test_a_full_disk_is_one_clear_error_and_loses_nothing(data, tmp_path):
    """The file-size limit of the process stands for the end of the disk."""
    folder = tmp_path / "run"
    constant = ["--set", "schedule=constant"]
    assert run(command(data, folder, *constant, epochs=2)).returncode == 0
    before = sorted(checkpoint.steps(folder))
    limited = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); " \
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); " \
        "from backhand.cli import main; sys.exit(main(sys.argv[1:]))"  # fmt: skip
    words = command(data, folder, "--resume", *constant, epochs=9)[3:]
    failed = run([sys.executable, "-c", limited, *words])
    assert failed.returncode == 2
    assert "cannot write the checkpoint" in failed.stderr
    assert sorted(checkpoint.steps(folder)) == before
    assert run(command(data, folder, "--resume", *constant, epochs=9)).returncode == 0
