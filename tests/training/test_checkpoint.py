import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest

from backhand import checkpoint
from backhand.checkpoint import CheckpointError, file_name, latest, load, rotate, save, steps

RNG = np.random.default_rng(0)
ARRAYS = {
    "vector": RNG.standard_normal(300).astype(np.float32),
    "optimizer/0/step": np.array(7),
    "file": RNG.standard_normal((3, 4)),
    "complex": np.array([1 + 2j]),
    "empty": np.zeros((0, 5), np.float32),
    "flags": np.array([True, False]),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(10)[::3],
    "swapped": np.arange(3, dtype=">f4"),
    "special": np.array([np.nan, np.inf, -0.0, 5e-324]),
}
META = {"progress": {"step": 7, "best": float("inf"), "x": 0.1}, "name": "ü\n", "list": [1, None]}


def same(found, arrays):
    return found.keys() == arrays.keys() and all(
        (found[n].dtype, found[n].shape, found[n].tobytes())
        == (arrays[n].dtype, arrays[n].shape, arrays[n].tobytes())
        for n in arrays
    )


def test_round_trip(tmp_path):
    save(tmp_path / "a.npz", ARRAYS, META)
    arrays, meta = load(tmp_path / "a.npz")
    assert same(arrays, ARRAYS)
    assert meta == META
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_equal_content_gives_equal_bytes_and_numpy_can_read_it(tmp_path):
    save(tmp_path / "a.npz", ARRAYS, META)
    save(str(tmp_path / "b.npz"), ARRAYS, META)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as plain:
        np.testing.assert_array_equal(plain["vector"], ARRAYS["vector"])
        assert plain["backhand.format"] == checkpoint.FORMAT
        assert json.loads(plain["backhand.meta"].tobytes()) == META


def test_device_arrays_are_brought_to_the_host(tmp_path):
    class OnDevice:
        def get(self):
            return np.arange(3)

    save(tmp_path / "a.npz", {"x": OnDevice()}, {})
    np.testing.assert_array_equal(load(tmp_path / "a.npz").arrays["x"], np.arange(3))


@pytest.mark.parametrize(
    ("arrays", "meta", "error", "message"),
    [
        ({"x": np.array([None])}, {}, TypeError, "'x' must be an array of numbers, got object"),
        ({"x": [1, 2]}, {}, TypeError, "'x' must be an array of numbers, got list"),
        ({"x": np.array(["a"])}, {}, TypeError, "must be an array of numbers, got <U1"),
        ({"backhand.meta": np.zeros(1)}, {}, ValueError, "the name 'backhand.meta' is taken"),
        ({}, {"x": object()}, TypeError, "not JSON serializable"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(
    tmp_path, arrays, meta, error, message
):
    with pytest.raises(error, match=message):
        save(tmp_path / "a.npz", arrays, meta)
    assert not list(tmp_path.iterdir())


# -- damage --------------------------------------------------------------------------------


def test_every_flipped_byte_is_found_or_harmless(tmp_path):
    arrays = {"x": np.arange(5, dtype=np.float32), "n": np.array(3)}
    path = tmp_path / "a.npz"
    save(path, arrays, {"step": 1})
    good = path.read_bytes()
    found = 0
    for at in range(len(good)):
        for flip in (0x01, 0x80):
            bad = bytearray(good)
            bad[at] ^= flip
            path.write_bytes(bad)
            try:
                got, meta = load(path)
            except CheckpointError:
                found += 1
            else:
                assert same(got, arrays)
                assert meta == {"step": 1}
    assert found > 1.3 * len(good)  # dates and attributes in the zip headers are harmless


def test_every_truncation_is_found(tmp_path):
    path = tmp_path / "a.npz"
    save(path, {"x": np.arange(20)}, {})
    good = path.read_bytes()
    for length in range(0, len(good), 3):
        path.write_bytes(good[:length])
        with pytest.raises(CheckpointError, match=r"a\.npz is damaged or cut short; go on from"):
            load(path)


def test_a_swapped_member_with_a_right_crc_is_found(tmp_path):
    save(tmp_path / "a.npz", {"x": np.zeros(3)}, {})
    save(tmp_path / "b.npz", {"x": np.ones(3)}, {})
    with (
        zipfile.ZipFile(tmp_path / "a.npz") as a,
        zipfile.ZipFile(tmp_path / "b.npz") as b,
        zipfile.ZipFile(tmp_path / "c.npz", "w") as c,
    ):
        for name in a.namelist():
            c.writestr(name, (b if name == "x.npy" else a).read(name))
    with pytest.raises(CheckpointError, match="SHA-256 is not that of its content"):
        load(tmp_path / "c.npz")


def test_foreign_files(tmp_path):
    np.savez(tmp_path / "plain.npz", x=np.zeros(3))
    np.savez_compressed(tmp_path / "small.npz", x=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", x=np.array([{}], dtype=object))
    for name in ("plain.npz", "small.npz", "pickle.npz"):
        with pytest.raises(CheckpointError, match=f"{name} was not written by backhand"):
            load(tmp_path / name)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(CheckpointError, match=r"text\.npz is damaged .*not a zip file"):
        load(tmp_path / "text.npz")
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load(tmp_path / "missing.npz")
    with pytest.raises(CheckpointError, match=r"cannot read the checkpoint .* directory"):
        load(tmp_path)


def test_a_pickle_inside_is_never_loaded(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name, array in (("backhand.format", np.array(1)), ("x", np.array([{}], object))):
            with archive.open(name + ".npy", "w") as member:
                np.lib.format.write_array(member, array)
    with pytest.raises(CheckpointError, match="Object arrays cannot be loaded"):
        load(tmp_path / "a.npz")


def newer(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 2)
        save(path, ARRAYS, {})


def test_a_newer_format_says_so(tmp_path, monkeypatch):
    newer(tmp_path / "a.npz", monkeypatch)
    with pytest.raises(CheckpointError, match=r"a\.npz has format 2, and this version .* up to 1"):
        load(tmp_path / "a.npz")


# -- failures while writing ----------------------------------------------------------------


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


# -- a folder of checkpoints ---------------------------------------------------------------


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
