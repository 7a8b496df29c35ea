"""A checkpoint: what goes in comes out, and any damage is found."""

import json
import zipfile

import numpy as np
import pytest

from backhand import checkpoint
from backhand.checkpoint import CheckpointError, load, save
from tests.training.checkpoint_content import ARRAYS, META, newer


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


def test_a_newer_format_says_so(tmp_path, monkeypatch):
    newer(tmp_path / "a.npz", monkeypatch)
    with pytest.raises(CheckpointError, match=r"a\.npz has format 2, and this version .* up to 1"):
        load(tmp_path / "a.npz")
