"""Completion of pictures known in part: halves of the data, and a user's own files."""

import json

import numpy as np
import pytest
from PIL import Image

import backhand as bh
from backhand.cli import main
from backhand.data import DataError
from backhand.data.partial import read_partial
from backhand.model import DataSpec
from backhand.models.draw import DRAW, DRAWConfig

BINARY = DataSpec((28, 28), "binary")
UNIT = DataSpec((28, 28), "unit")
COLOUR = DataSpec((3, 2, 3), "unit")


@pytest.fixture
def call(capsys):
    def call(*words):
        status = main([str(word) for word in words])
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


@pytest.fixture(scope="module")
def drawing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "drawing"
    small = [word for field in ("glimpses=4", "hidden=8") for word in ("--set", field)]
    words = ["train", "draw", "--data", "mnist-mini", "--limit", "100", "--steps", "1", *small]
    assert main([*words, "--run", str(folder)]) == 0
    return str(folder)


def test_completion_from_half_a_picture(call, drawing, tmp_path):
    for half in ("left", "top"):
        file = tmp_path / f"{half}.npz"
        assert call("reconstruct", drawing, "-n", 4, "--given", half, "-o", file)[0] == 0
        with np.load(file) as arrays:
            same = (arrays["x"] == arrays["reconstruction"]).all(axis=0)
        known = same[:, :14] if half == "left" else same[:14]
        other = same[:, 14:] if half == "left" else same[14:]
        assert known.all()
        assert not other.any()
    assert call("reconstruct", drawing, "--given", "left", "-o", tmp_path / "x.png")[0] == 0


# -- a file of one's own -------------------------------------------------------------------


def digits(n=3):
    """Pictures of 0 and 1 whose right half and first row are unknown."""
    x = (np.random.default_rng(0).random((n, 28, 28)) < 0.3).astype(np.float64)
    x[:, :, 14:] = x[:, 0] = np.nan
    return x


def transparent(x):
    """One grey picture, NaN where unknown, as RGBA."""
    known = np.nan_to_num(255 * x).astype(np.uint8)
    rgba = np.stack([known, known, known, np.where(np.isnan(x), 0, 255)], axis=-1)
    return Image.fromarray(rgba.astype(np.uint8))


def test_files_of_arrays_and_pictures_are_completed_where_they_are_unknown(call, drawing, tmp_path):
    x = digits()
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", drawn=x.astype(np.float32))
    np.save(tmp_path / "one.npy", x[0])
    transparent(x[0]).save(tmp_path / "one.png")
    made = {}
    for name, n in (("x.npy", 3), ("x.npz", 3), ("one.npy", 1), ("one.png", 1)):
        words = ("reconstruct", drawing, "--given", tmp_path / name, "--json")
        status, out, _ = call(*words, "-o", tmp_path / "out.npz")
        assert status == 0
        assert json.loads(out)["n"] == n
        with np.load(tmp_path / "out.npz") as arrays:
            np.testing.assert_array_equal(arrays["x"], x[:n])
            made[name] = arrays["reconstruction"]
        known = ~np.isnan(x[:n])
        assert np.array_equal(made[name][known], x[:n][known])
        assert np.isfinite(made[name]).all()
        assert ((made[name] > 0) & (made[name] < 1))[~known].all()
    assert np.array_equal(made["x.npy"], made["x.npz"])
    assert np.array_equal(made["one.npy"], made["one.png"])
    np.testing.assert_allclose(made["x.npy"][:1], made["one.npy"], rtol=1e-4)
    picture = tmp_path / "out.png"
    assert (
        call("reconstruct", drawing, "--given", tmp_path / "x.npy", "-n", 2, "-o", picture)[0] == 0
    )
    with Image.open(picture) as image:  # two columns: what is given above, what was made below
        pixels = np.asarray(image)
        assert pixels.shape == (2 * 58 + 2, 2 * 58 + 2)
        assert (pixels[2:58, 2:58].reshape(28, 2, 28, 2)[1:, 0, 14:, 0] == 128).all()


def test_it_is_what_the_model_makes_of_a_mask(drawing, call, tmp_path):
    x = digits()
    np.save(tmp_path / "x.npy", x)
    call("reconstruct", drawing, "--given", tmp_path / "x.npy", "-o", tmp_path / "out.npz")
    given = bh.Batch(np.nan_to_num(x).astype("f4"), np.arange(3), mask=~np.isnan(x))
    done = bh.load(drawing).sample(3, bh.Noise(0), given=given)
    with np.load(tmp_path / "out.npz") as arrays:
        assert np.array_equal(arrays["reconstruction"], done.mean)


def test_colours_half_transparent_pixels_and_palettes(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 256, (3, 2, 4)).astype(np.uint8)
    rgba[..., 3] = 255
    rgba[0, 1, 3], rgba[2, 0, 3] = 0, 254
    Image.fromarray(rgba).save(tmp_path / "a.png")
    x, mask = read_partial(tmp_path / "a.png", COLOUR, "float32")
    assert x.dtype == np.float32
    assert np.array_equal(mask[0, ..., 0], [[True, False], [True, True], [False, True]])
    np.testing.assert_allclose(x[mask], (rgba[..., :3] / 255)[mask[0]].ravel(), rtol=1e-6)
    assert np.isnan(x[~mask]).all()
    grey = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8), "P")
    grey.putpalette([0, 0, 0, 255, 255, 255, 9, 9, 9])
    grey.save(tmp_path / "p.png", transparency=2)
    x, mask = read_partial(tmp_path / "p.png", DataSpec((2, 2), "binary"), "float64")
    np.testing.assert_array_equal(x[0], [[0, 1], [1, np.nan]])
    one = DataSpec((2, 2, 1), "binary")
    assert read_partial(tmp_path / "p.png", one, "float64")[0].shape == (1, 2, 2, 1)


@pytest.mark.parametrize(
    ("x", "spec", "words"),
    [
        (np.full((30, 28), np.nan), BINARY, "holds 30 x 28; the model was trained on .* 28 x 28"),
        (np.full((2, 28, 30), np.nan), BINARY, "holds 2 x 28 x 30"),
        (np.zeros((0, 28, 28)), BINARY, "holds 0 x 28 x 28"),
        (np.zeros((28, 28)), BINARY, "no unknown pixels, so there is nothing to complete"),
        (np.zeros((28, 28), np.uint8), BINARY, "must hold floats, NaN where .*, got uint8"),
        (0.3 * digits(), BINARY, "trained on binary data, so known pixels must be 0 or 1"),
        (2 * digits(), UNIT, r"must be in \[0, 1\], got 2"),
        (np.inf * (digits() + 1), DataSpec((28, 28), "real"), "must be finite, got inf"),
    ],
)
def test_wrong_arrays_say_so(tmp_path, x, spec, words):
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(DataError, match=words):
        read_partial(tmp_path / "x.npy", spec, "float32")


def test_wrong_files_say_so(tmp_path):
    def refused(name, spec, words):
        with pytest.raises(DataError, match=words):
            read_partial(tmp_path / name, spec, "float32")

    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "opaque.png")
    refused("opaque.png", BINARY, "no unknown pixels")
    transparent(np.full((5, 4), np.nan)).save(tmp_path / "small.png")
    refused("small.png", BINARY, "holds 5 x 4; the model was trained on pictures of 28 x 28")
    refused("small.png", DataSpec((5, 4), "real"), "a png holds values in .0, 1., these data are")
    refused("small.png", DataSpec((20,), "unit"), "a png has one or three channels, these data 20")
    content = (tmp_path / "small.png").read_bytes()
    for damaged in (b"", b"\x89PNG", content[:-30], content[:50] + b"xxxx" + content[54:]):
        (tmp_path / "damaged.png").write_bytes(damaged)
        refused("damaged.png", UNIT, "not a png that can be read")
    np.savez(tmp_path / "two.npz", a=digits(), b=digits())
    refused("two.npz", BINARY, "must hold one array, got a, b")
    (tmp_path / "x.jpg").write_bytes(b"")
    refused("x.jpg", BINARY, "is no .npy, .npz, .png file")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_partial(tmp_path / "none.npy", BINARY, "float32")


def test_wrong_use_of_given_says_so(call, drawing, tmp_path):
    np.save(tmp_path / "x.npy", digits())
    out = tmp_path / "out.png"
    for words, said in (
        (("--given", "lft"), "--given takes left, top or a file, got lft"),
        (("--given", tmp_path / "none.npy"), "none.npy: no such file"),
        (("--given", tmp_path / "x.npy", "--split", "test"), "leave out --split"),
        (("--given", tmp_path / "x.npy", "--steps"), "not with every step"),
        (("--given", tmp_path / "x.npy", "-n", 0), "-n must be at least 1"),
    ):
        status, _, err = call("reconstruct", drawing, *words, "-o", out)
        assert status == 2
        assert said in err
        assert len(err.splitlines()) == 1
    assert not out.exists()


def test_models_of_real_data_take_any_number(tmp_path):
    x = np.random.default_rng(0).normal(3, 2, (6, 4, 4))
    model = DRAW.create(
        DRAWConfig(glimpses=2, read=2, write=2, hidden=4, latent=2, output="gaussian"),
        DataSpec((4, 4), "real"), x, dtype="float64",
    )  # fmt: skip
    x[:, 2:] = np.nan
    np.save(tmp_path / "x.npy", x)
    given, mask = read_partial(tmp_path / "x.npy", model.spec, "float64")
    done = model.sample(6, bh.Noise(0), given=bh.Batch(given, np.arange(6), mask=mask))
    np.testing.assert_allclose(done.mean[mask], x[mask], rtol=1e-12)
    assert np.isfinite(done.x).all()
