"""The clock from the start of a process to its first step."""

import sys

import numpy as np
import pytest

from backhand.bench import start_up


def python(code):
    return [sys.executable, "-S", "-c", code]


def test_the_first_step_ends_at_its_line_and_the_process_later():
    stepped, end = start_up.start(
        python("import time; print('a line'); print('epoch 1', flush=True); time.sleep(0.5)")
    )
    assert 0 < stepped < end - 0.4


@pytest.mark.parametrize("code", ["print('no step')", "print('epoch'); raise SystemExit(3)"])
def test_a_command_that_does_no_step_is_an_error(code):
    with pytest.raises(RuntimeError, match=r"did no step:\n(no step|epoch)"):
        start_up.start(python(code))


def test_ours_does_one_step(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((200, 784), np.float32))
    found = start_up.commands("python", tmp_path / "x.npy", tmp_path / "run", {"torch": "1"})
    assert found.keys() == {"backhand train", "torch", "torch.compile"}
    start_up.start(found["backhand train"])
    assert (tmp_path / "run" / "step-00000001.npz").exists()


def test_the_table_compares_first_steps():
    lines = start_up.table({"backhand train": [(0.5, 1.0), (0.7, 2.0)], "torch": [(3.0, 3.5)]})
    assert lines[2:] == [
        "| backhand train | 0.60 (0.50) | 1.0 | 1.50 (1.00) |",
        "| torch | 3.00 (3.00) | 5.0 | 3.50 (3.50) |",
    ]
