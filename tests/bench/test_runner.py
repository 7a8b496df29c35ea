"""What the runner refuses, and what it goes on without."""

import dataclasses
import re

import numpy as np
import pytest

from backhand.bench.harness import busy, runner
from backhand.bench.harness.runner import Failed, Refused, Settings, run
from tests.bench.conftest import FOUND

SETTINGS = Settings(
    peers=("torch", "jax"), backend="numpy", threads=(1,), rounds=2, accept_busy=True
)


def one(name, **changes):
    (measured,) = run([FOUND[name]], dataclasses.replace(SETTINGS, **changes))
    return measured


def test_every_implementation_has_its_blocks(fake):
    measured = one("agrees")
    assert measured.blocks.keys() == {"numpy", "torch", "jax"}
    assert measured.errors == {}
    for blocks in measured.blocks.values():
        assert len(blocks) == 2
        assert all(0 < block.minimum <= block.median for block in blocks)
        assert all(block.drift > 0 for block in blocks)
    assert measured.limit.keys() == {"products", "memory", "transcendentals"}
    assert all(seconds > 0 for seconds in measured.limit.values())
    assert measured.versions == {"torch": "0.fake", "jax": "0.fake"}


def test_only_the_peers_that_are_asked_for_run(fake):
    assert not {"torch", "jax"} & one("agrees", peers=()).blocks.keys()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrong", "wrong: torch disagrees with the float64 reference: d_a of step 0 is off by"),
        ("not_finite", "y of step 0 is off by nan"),
        ("of_another_shape", r"y has shape \(6, 1\), expected \(6, 5\)"),
        ("with_a_result_missing", r"results \['y'\], expected \['d_a', 'y'\]"),
        ("wrong_later", "total of step 1 is off by"),
    ],
)
def test_a_case_in_which_somebody_disagrees_is_not_measured(fake, name, words):
    failed, after = run([FOUND[name], FOUND["agrees"]], SETTINGS)
    assert isinstance(failed, Failed)
    assert re.search(words, failed.why)
    assert after.blocks.keys() == {"numpy", "torch", "jax"}


def test_a_result_can_have_a_tolerance_of_its_own(fake):
    assert "torch" in one("wrong_but_tolerated").blocks


def test_a_peer_that_fails_is_named_and_the_others_are_measured(fake):
    measured = one("one_fails")
    assert measured.errors == {"torch": "RuntimeError: no such thing here"}
    assert "jax" in measured.blocks


def test_a_peer_whose_process_ends_is_named(fake):
    measured = one("one_dies")
    assert "its process ended with status 3" in measured.errors["jax"]
    assert "torch" in measured.blocks


def test_a_peer_whose_process_ends_in_a_block_is_named(fake):
    measured = one("dies_later")
    assert "its process ended with status 4" in measured.errors["torch"]
    assert {name: len(blocks) for name, blocks in measured.blocks.items()} == {"numpy": 2, "jax": 2}


def test_a_form_of_ours_whose_process_ends_fails_its_case_alone(fake):
    failed, after = run([FOUND["ours_dies"], FOUND["agrees"]], SETTINGS)
    assert "ours_dies: numpy failed: its process ended with status 3" in failed.why
    assert len(after.blocks) == 3


# -- a busy machine ------------------------------------------------------------------------


@pytest.fixture
def others(monkeypatch):
    """Cores that others use, block by block; the last value stays."""
    values = [0.0]

    class Watch:
        def cores(self, seconds):
            return values.pop(0) if len(values) > 1 else values[0]

    monkeypatch.setattr(busy, "Watch", Watch)
    monkeypatch.setattr(busy, "available", lambda: True)
    return values


def test_a_busy_machine_is_refused_before_anything_is_prepared(fake, others, monkeypatch):
    others[:] = [1.5]
    monkeypatch.setattr(runner, "measure", None)
    with pytest.raises(Refused, match=r"other processes use 1\.50 cores"):
        runner.wait_until_quiet(dataclasses.replace(SETTINGS, accept_busy=False), patience=0)


def test_rounds_are_repeated_and_then_refused(fake, others):
    others[:] = [0.0, 0.9]  # quiet at first
    with pytest.raises(Refused, match=r"the machine is busy: .* give --busy"):
        one("agrees", accept_busy=False, rounds=1)


def test_a_busy_round_is_thrown_away(fake, others):
    others[:] = [0.0, 0.0, 0.9, 0.0, 0.1]  # at first; a round of three blocks; quiet ones
    measured = one("agrees", accept_busy=False)
    assert measured.rejected == 1
    assert measured.others == [0.1, 0.1]


def test_busy_rounds_are_kept_and_told_where_asked(fake, others):
    others[:] = [0.9]
    measured = one("agrees")
    assert measured.rejected == 0
    assert measured.others == [0.9, 0.9]


def test_own_processes_are_not_others(tmp_path, monkeypatch):
    """Ticks of /proc: 100 + 20 + 30 + 4 + 5 + 6 in use, of which 7 + 8 are ours."""
    line = "{} (a) name) S {} 1 1 0 -1 0 0 0 0 0 {} {} 0 0 20 0\n"
    processes = {10: (1, 3, 4), 11: (10, 2, 1), 12: (11, 4, 1), 20: (1, 90, 50)}
    for process, (parent, user, system) in processes.items():
        (tmp_path / str(process)).mkdir()
        (tmp_path / str(process) / "stat").write_text(line.format(process, parent, user, system))
    (tmp_path / "stat").write_text("cpu  100 20 30 5000 600 4 5 6 0 0\ncpu0 1\n")
    monkeypatch.setattr(busy, "PROC", tmp_path)
    monkeypatch.setattr(busy.os, "getpid", lambda: 10)
    watch = busy.Watch()
    assert watch.others == 165 - 15
    (tmp_path / "stat").write_text("cpu  160 20 30 5000 600 4 5 6 0 0\ncpu0 1\n")
    ticks = busy.os.sysconf("SC_CLK_TCK")
    assert np.isclose(watch.cores(2.0), 60 / ticks / 2.0)
