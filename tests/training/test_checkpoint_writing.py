"""A write that fails or is killed leaves the earlier checkpoints."""

import errno
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from backhand import checkpoint
from backhand.checkpoint import CheckpointError, file_name, latest, load, rotate, save
from tests.training.checkpoint_content import ARRAYS


class Failing:
    """A file that raises ``error`` at the write that would go beyond ``room`` bytes."""

    def __init__(self, file, room, fail):
        self.file, self.room, self.fail = file, room, fail

    def write(self, data):
        if self.file.tell() + len(data) > self.room:
            self.fail()
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()


def full():
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted():
    raise KeyboardInterrupt


def fail_at(monkeypatch, room, fail):
    def failing(path, mode):
        file = open(path, mode)  # noqa: SIM115
        return Failing(file, room, fail) if "w" in mode else file

    monkeypatch.setattr(checkpoint, "open", failing, raising=False)


@pytest.mark.parametrize("room", [0, 100, 1000, 3000])
def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch, room):
    path = tmp_path / "best.npz"
    save(path, {"x": np.zeros(3)}, {"step": 1})
    with monkeypatch.context() as patch:
        fail_at(patch, room, full)
        with pytest.raises(
            CheckpointError,
            match=r"cannot write the checkpoint .*best\.npz .* MB\): No space left on device; "
            "earlier checkpoints are untouched; make room",
        ) as caught:
            save(path, ARRAYS, {})
    assert isinstance(caught.value.__cause__, OSError)
    assert load(path).meta == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_failing_flush_or_rename_leaves_the_earlier_checkpoint(tmp_path, monkeypatch, name):
    path = tmp_path / "best.npz"
    save(path, {"x": np.zeros(3)}, {"step": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, name, lambda *_: full())
        with pytest.raises(CheckpointError, match="No space left on device"):
            save(path, ARRAYS, {})
    assert load(path).meta == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_while_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    save(tmp_path / "a.npz", {"x": np.zeros(3)}, {"step": 1})
    with monkeypatch.context() as patch:
        fail_at(patch, 1000, interrupted)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path / "a.npz", ARRAYS, {})
    assert load(tmp_path / "a.npz").meta == {"step": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"a\.npz .*: No such file.* does the folder exist"):
        save(tmp_path / "none" / "a.npz", ARRAYS, {})


def run_python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_real_file_size_limit(tmp_path):
    pytest.importorskip("resource", reason="file size limits exist on POSIX systems only")
    done = run_python(
        """
        import resource, sys
        import numpy as np
        from backhand.checkpoint import CheckpointError, save
        save(sys.argv[1], {"x": np.zeros(10)}, {"step": 1})
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save(sys.argv[1], {"x": np.zeros(100_000)}, {"step": 2})
        except CheckpointError as error:
            print(error)
        """,
        tmp_path / "a.npz",
    )
    assert done.returncode == 0, done.stderr
    assert "File too large; earlier checkpoints are untouched; make room" in done.stdout
    assert load(tmp_path / "a.npz").meta == {"step": 1}
    assert len(list(tmp_path.iterdir())) == 1


KILLED = """
import os, signal, sys
import numpy as np
from backhand import checkpoint

path, where = sys.argv[1:3]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

real = open
class Dying:
    def __init__(self, file):
        self.file = file
    def write(self, data):
        if self.file.tell() + len(data) > int(where):
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            die()
        return self.file.write(data)
    def __getattr__(self, name):
        return getattr(self.file, name)
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self.file.close()

if where in ("fsync", "replace"):
    setattr(os, where, die)
else:
    checkpoint.open = lambda path, mode: Dying(real(path, mode))
checkpoint.save(path, {"x": np.full(2000, 2.0)}, {"step": 2})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL exists on POSIX systems only")
@pytest.mark.parametrize("where", ["0", "500", "8000", "16600", "fsync", "replace"])
@pytest.mark.parametrize("name", ["best.npz", "step-00000002.npz"])
def test_a_kill_while_writing_leaves_the_earlier_checkpoints(tmp_path, where, name):
    for old in ("best.npz", "step-00000001.npz"):
        save(tmp_path / old, {"x": np.ones(3)}, {"step": 1})
    done = run_python(KILLED, tmp_path / name, where)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert load(tmp_path / "best.npz").meta == {"step": 1}
    assert latest(tmp_path).meta == {"step": 1}
    assert (tmp_path / (name + ".tmp")).exists()
    save(tmp_path / file_name(2), {}, {"step": 2})
    rotate(tmp_path, 2)
    assert not list(tmp_path.glob("*.tmp"))
