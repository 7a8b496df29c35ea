"""From public files to ours."""

import io
import zipfile

import numpy as np
import pytest

from backhand.data import DataError, convert, load, parsers
from backhand.data.registry import entry
from backhand.data.sets import rgb


def drawing(ink):
    image = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    image.fromarray(np.where(ink, 0, 255).astype(np.uint8)).convert("1").save(stream, "PNG")
    return stream.getvalue()


def write_omniglot(folder, inks):
    """inks: {(file, alphabet, character): drawings of drawers 1, 2, ...}."""
    for name in ("background", "evaluation"):
        with zipfile.ZipFile(folder / f"images_{name}.zip", "w") as archive:
            archive.writestr(f"images_{name}/", "")
            archive.writestr(f"images_{name}/notes.txt", "not a drawing")
            for i, ((file, alphabet, character), drawings) in enumerate(inks.items()):
                if file == name:
                    for j in reversed(range(len(drawings))):
                        path = f"images_{file}/{alphabet}/{character}/{i:04d}_{j + 1:02d}.png"
                        archive.writestr(path, drawing(drawings[j]))


def test_omniglot(tmp_path):
    rng = np.random.default_rng(0)
    keys = [
        ("evaluation", "A", "character01"),  # first by name, but of the second file
        ("background", "B", "character02"),
        ("background", "B", "character01"),
    ]
    inks = {key: rng.random((20, 105, 105)) < 0.2 for key in keys}
    write_omniglot(tmp_path, inks)
    convert.omniglot(tmp_path)
    z = parsers.npz(tmp_path / "omniglot28.npz")
    rows = [inks[key] for key in (keys[2], keys[1], keys[0])]
    ink = np.concatenate(rows).astype(float)
    # Each pixel of 28 x 28 covers 3.75 x 3.75: an area average, as a product of matrices.
    edges = np.linspace(0, 105, 29)
    low, high = edges[:-1, None], edges[1:, None]
    at = np.arange(105)
    cover = np.clip(np.minimum(high, at + 1) - np.maximum(low, at), 0, 1) / 3.75
    np.testing.assert_allclose(cover.sum(1), 1)
    wanted = np.rint(255 * (cover @ ink @ cover.T))
    assert abs(z["images"] - wanted).max() <= 1  # halves may be rounded either way
    assert (z["images"] != wanted).mean() < 0.01
    np.testing.assert_array_equal(z["character"], np.repeat([0, 1, 2], 20))
    np.testing.assert_array_equal(z["alphabet"], np.repeat([0, 0, 1], 20))
    np.testing.assert_array_equal(z["alphabet_names"], [b"B", b"A"])
    np.testing.assert_array_equal(z["drawer"], np.tile(np.arange(1, 21), 3))
    np.testing.assert_array_equal(z["test"], z["drawer"] > 15)
    np.testing.assert_array_equal(z["background"], np.repeat([1, 1, 0], 20))
    assert {name: array.dtype for name, array in z.items() if name != "alphabet_names"} == {
        "images": np.uint8, "character_permutation": np.uint16, "character": np.uint16,
        "alphabet": np.uint8, "drawer": np.uint8, "background": np.uint8, "test": np.uint8,
    }  # fmt: skip


def test_omniglot_pixels_and_labels_are_those_of_the_full_set(full_data):
    folder = full_data("omniglot")
    small = parsers.npz(folder / "omniglot28.npz")
    large = parsers.npz(folder / "omniglot105_packed.npz")
    rows = np.arange(0, 32460, 97)
    ink = np.unpackbits(large["bits"][rows], axis=1, count=11025).reshape(-1, 105, 105)
    made = np.array([convert._shrunk(picture) for picture in ink])
    np.testing.assert_array_equal(made, small["images"][rows])
    permutation = np.random.RandomState(0).permutation(1623)
    np.testing.assert_array_equal(small["character_permutation"], permutation)


def test_damaged_omniglot(tmp_path):
    write_omniglot(tmp_path, {})
    with pytest.raises(DataError, match="no drawings"):
        convert.omniglot(tmp_path)
    write_omniglot(tmp_path, {("background", "A", "character01"): np.ones((1, 9, 9))})
    with pytest.raises(DataError, match=r"expected 105 x 105 pixels, got \(9, 9\)"):
        convert.omniglot(tmp_path)
    for content, match in ((b"junk", "damaged png"), (bytes(2 << 20), "too large")):
        with zipfile.ZipFile(tmp_path / "images_background.zip", "w") as archive:
            archive.writestr("images_background/A/character01/0001_01.png", content)
        with pytest.raises(DataError, match=match):
            convert.omniglot(tmp_path)
    (tmp_path / "images_background.zip").write_bytes(b"junk")
    with pytest.raises(DataError, match="damaged zip file"):
        convert.omniglot(tmp_path)


def test_frey_faces(tmp_path):
    io_ = pytest.importorskip("scipy.io")
    frames = np.random.default_rng(1).integers(0, 256, (7, 28, 20), dtype=np.uint8)
    path = tmp_path / "frey_rawface.mat"
    io_.savemat(path, {"ff": frames.reshape(7, 560).T})
    convert.frey_faces(tmp_path)
    np.testing.assert_array_equal(parsers.npz(tmp_path / "freyfaces.npz")["images"], frames)
    io_.savemat(path, {"ff": frames.astype(float).reshape(7, 560).T})
    with pytest.raises(
        DataError, match=r"ff must be \(560, frames\) uint8, got \(560, 7\) float64"
    ):
        convert.frey_faces(tmp_path)
    for content in (b"", b"junk" * 100, path.read_bytes()[:300]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            convert.frey_faces(tmp_path)


def test_static_mnist(tmp_path, monkeypatch):
    from backhand.data import sets

    rng = np.random.default_rng(2)
    bits = rng.integers(0, 2, (3, 784))
    text = "\n".join(" ".join(map(str, row)) for row in bits).encode()
    contents = {f"binarized_mnist_{split}.amat": text for split in ("train", "valid", "test")}
    with pytest.raises(DataError, match=r"train\.amat: expected 50000 lines, got 3"):
        sets.build(entry("mnist-static"), contents)
    whole = b"0 " * 783 + b"1\n"
    contents = {
        f"binarized_mnist_{split}.amat": text + b"\n" + whole * (n - 3)
        for split, n in (("train", 50000), ("valid", 10000), ("test", 10000))
    }
    folder = tmp_path / "mnist-static"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    monkeypatch.setenv("BACKHAND_DATA", str(tmp_path))
    data = load("mnist-static")
    assert data.spec == ((28, 28), "binary")
    assert [len(s) for s in (data.train, data.valid, data.test)] == [50000, 10000, 10000]
    np.testing.assert_array_equal(data.test.x[:3].reshape(3, 784), bits)
    assert data.converted("float32").valid.x[3:].sum() == 9997
    with pytest.raises(DataError, match="mnist-static is binary"):
        load("mnist-static", binarisation="dynamic")


def test_rgb():
    y, c = np.full((1, 2, 2), 100, np.uint8), np.full((1, 1, 1), 128, np.uint8)
    np.testing.assert_array_equal(rgb(y, c, c), np.full((1, 2, 2, 3), 100))
    red = rgb(np.full((1, 2, 2), 76, np.uint8), c - 43, c + 127)
    np.testing.assert_array_equal(red[0, 0, 0], [254, 0, 0])
