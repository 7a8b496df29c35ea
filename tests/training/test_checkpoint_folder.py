"""A folder of checkpoints: what is kept, and which one a resume takes."""

import numpy as np
import pytest

from backhand import checkpoint
from backhand.checkpoint import CheckpointError, file_name, latest, rotate, save, steps
from tests.training.checkpoint_content import newer


def fill(folder, *numbers):
    for step in numbers:
        save(folder / file_name(step), {"x": np.array(step)}, {"step": step})


def test_rotate_keeps_the_last_two_and_everything_else(tmp_path):
    fill(tmp_path, 5, 30, 200, 123456789)
    for other in ("best.npz", "config.toml", "step-1.txt", "a.npz.tmp", "step-00000009.npz.tmp"):
        (tmp_path / other).write_text("x")
    rotate(tmp_path, 123456789)
    assert steps(tmp_path) == [200, 123456789]
    others = {"best.npz", "config.toml", "step-1.txt"}
    assert {p.name for p in tmp_path.iterdir() if not p.name.startswith("step-0")} == {
        *others,
        "step-123456789.npz",
    }


def test_rotate_drops_what_a_resume_has_overtaken(tmp_path):
    fill(tmp_path, 100, 200)
    (tmp_path / file_name(200)).write_bytes(b"damaged")
    fill(tmp_path, 150)
    rotate(tmp_path, 150)
    assert steps(tmp_path) == [100, 150]


def test_latest(tmp_path, recwarn):
    assert latest(tmp_path) is None
    fill(tmp_path, 5, 30, 200)
    found = latest(tmp_path)
    assert found.meta == {"step": 200}
    assert found.arrays["x"] == 200
    assert not recwarn


def test_latest_goes_back_from_a_damaged_one_and_warns(tmp_path):
    fill(tmp_path, 5, 30)
    newest = tmp_path / file_name(30)
    newest.write_bytes(newest.read_bytes()[:100])
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.warns(UserWarning, match=r"step-00000030\.npz is damaged.*back to step-00000005"):
        assert latest(tmp_path).meta == {"step": 5}
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_latest_of_damaged_ones_only(tmp_path):
    fill(tmp_path, 5, 30)
    for step in (5, 30):
        (tmp_path / file_name(step)).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no checkpoint .*: .*00000030.*\(1 older"):
        latest(tmp_path)


def test_latest_does_not_go_behind_a_newer_format(tmp_path, monkeypatch):
    fill(tmp_path, 5)
    newer(tmp_path / file_name(6), monkeypatch)
    with pytest.raises(CheckpointError, match="has format 2"):
        latest(tmp_path)


def test_latest_while_a_training_process_rotates(tmp_path, monkeypatch):
    fill(tmp_path, 5, 30)
    real, calls = checkpoint.load, []

    def racing(path):
        calls.append(path)
        if len(calls) == 1:
            fill(tmp_path, 40, 50)
            rotate(tmp_path, 50)
        return real(path)

    monkeypatch.setattr(checkpoint, "load", racing)
    assert latest(tmp_path).meta == {"step": 50}
