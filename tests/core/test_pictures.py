"""Grids, files and training curves."""

import os
import subprocess
import sys

import numpy as np
import pytest

from backhand.pictures import curve, grid, save_png

rng = np.random.default_rng(0)
IMAGES = rng.random((5, 4, 3))
ROWS = [
    {"step": 1, "total": 4},
    {"epoch": 1, "step": 2, "train": {"nats": 200.0}, "valid": {"nats": 190.0}, "best": True},
    {"epoch": 2, "step": 4, "train": {"nats": 150.0}, "valid": {"nats": 195.0}, "best": False},
]


def test_grid_places_each_image():
    out = grid(IMAGES, columns=2, scale=3, gap=1)
    assert out.dtype == np.uint8
    assert out.shape == (3 * 13 + 1, 2 * 10 + 1)
    for i, image in enumerate(IMAGES):
        top, left = 1 + i // 2 * 13, 1 + i % 2 * 10
        block = out[top : top + 12, left : left + 9]
        for part in (block[::3, ::3], block[1::3, 2::3], block[2::3, 1::3]):
            np.testing.assert_array_equal(part, np.rint(image * 255))
    assert (out[::13] == 128).all()
    assert (out[:, ::10] == 128).all()
    assert (out[27:, 11:] == 128).all()  # the sixth place stays empty


def test_grid_of_colours():
    images = rng.random((3, 4, 5, 3))
    out = grid(images, scale=1, gap=0)
    assert out.shape == (8, 10, 3)
    np.testing.assert_array_equal(out[4:, :5], np.rint(images[2] * 255))


def test_grid_clips():
    out = grid(np.array([[[-3.0, 0.5, 7.0]]]), scale=1, gap=0)
    np.testing.assert_array_equal(out, [[0, 128, 255]])


@pytest.mark.parametrize(
    ("images", "options", "match"),
    [
        (np.zeros((4, 9)), {}, r"got \(4, 9\)"),
        (np.zeros((4, 9, 9, 4)), {}, r"got \(4, 9, 9, 4\)"),
        (np.zeros((0, 9, 9)), {}, "got 0 images"),
        (IMAGES, {"columns": 0}, "columns=0"),
        (IMAGES, {"scale": 0}, "scale=0"),
        (IMAGES, {"gap": -1}, "gap=-1"),
        (np.full((1, 2, 2), np.nan), {}, "not finite"),
    ],
)
def test_wrong_grid(images, options, match):
    with pytest.raises(ValueError, match=match):
        grid(images, **options)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_png_reads_back(tmp_path, shape):
    image = pytest.importorskip("PIL.Image")
    wanted = rng.integers(0, 256, shape, dtype=np.uint8)
    save_png(tmp_path / "a.png", wanted)
    with image.open(tmp_path / "a.png") as found:
        np.testing.assert_array_equal(np.asarray(found), wanted)
    assert os.listdir(tmp_path) == ["a.png"]


def test_arrays_read_back(tmp_path):
    save_png(str(tmp_path / "a.npy"), IMAGES)
    save_png(tmp_path / "a.npz", IMAGES)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), IMAGES)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["images"], IMAGES)


def test_wrong_file(tmp_path):
    for name in ("a.jpg", "a", "png"):
        with pytest.raises(ValueError, match=r"must end in \.png, \.npy or \.npz"):
            save_png(tmp_path / name, grid(IMAGES))
    with pytest.raises(ValueError, match="needs a uint8 array"):
        save_png(tmp_path / "a.png", IMAGES)
    with pytest.raises(FileNotFoundError):
        save_png(tmp_path / "none" / "a.npy", IMAGES)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.npy"
    save_png(path, IMAGES)
    with pytest.raises(ValueError, match="allow_pickle"):
        save_png(path, np.array([object()]))
    np.testing.assert_array_equal(np.load(path), IMAGES)
    assert os.listdir(tmp_path) == ["a.npy"]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], []])
def test_curve_is_written(tmp_path, suffix, rows):
    pytest.importorskip("matplotlib")
    curve(tmp_path / f"c.{suffix}", rows)
    assert os.listdir(tmp_path) == [f"c.{suffix}"]
    start = (tmp_path / f"c.{suffix}").read_bytes()[:5]
    assert start.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix])


def test_curve_draws_both_lines(tmp_path, monkeypatch):
    axes = pytest.importorskip("matplotlib.axes")
    drawn = []
    monkeypatch.setattr(
        axes.Axes, "plot", lambda self, x, y, *_, label, **__: drawn.append((label, x, y))
    )
    curve(tmp_path / "c.png", ROWS)
    assert drawn[:2] == [("train", (1, 2), (200.0, 150.0)), ("valid", (1, 2), (190.0, 195.0))]
    assert drawn[2] == ("best", 1, 190.0)


def test_wrong_curve(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png, \.svg or \.pdf"):
        curve(tmp_path / "c.gif", ROWS)


def test_optional_packages_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"needs pillow: pip install 'backhand\[app\]'"):
        save_png(tmp_path / "a.png", grid(IMAGES))
    with pytest.raises(ImportError, match=r"needs matplotlib: pip install 'backhand\[app\]'"):
        curve(tmp_path / "c.png", ROWS)
    save_png(tmp_path / "a.npz", IMAGES)
    assert os.listdir(tmp_path) == ["a.npz"]


def test_nothing_optional_is_imported():
    """Loading the bundled digits and making a grid needs NumPy alone."""
    code = (
        "import sys\n"
        "for name in ('PIL', 'matplotlib', 'pooch', 'scipy', 'tqdm', 'safetensors'):\n"
        "    sys.modules[name] = None\n"
        "from backhand.data import load\n"
        "from backhand.pictures import grid\n"
        "data = load('mnist-mini').converted('float32')\n"
        "print(grid(data.test.x[:6]).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(118, 176)"
