"""The known data sets, the digits in the package, and the full sets where they are at hand."""

import hashlib
import time
from pathlib import Path

import numpy as np
import pytest

from backhand.data import DataError, convert, load, parsers, registry, verify
from backhand.data.files import digest, read_bytes
from backhand.data.registry import entry

COUNTS = {
    "mnist": (59600, 400, 10000),
    "mnist-mini": (4500, 500, 1000),
    "fashion-mnist": (59000, 1000, 10000),
    "omniglot": (23000, 1345, 8115),
    "frey-faces": (1565, 200, 200),
    "olivetti": (300, 50, 50),
    "congress-faces": (3901, 200, 500),
    "cifar10-jpeg-subset": (4500, 500, 1000),
    "text-captions": (145000, 5070, 5000),
    "text-debian": (22784, 2000, 2000),
    "text-verses": (33157, 2000, 2000),
}


def sizes(data):
    return tuple(len(split) for split in (data.train, data.valid, data.test))


def test_entries_are_whole():
    assert set(registry()) == {*COUNTS, "mnist-static"}
    seeds = [known.seed for known in registry().values() if known.kind != "text"]
    assert len(set(seeds)) == len(seeds)
    for name, known in registry().items():
        assert known.kind in ("unit", "binary", "text")
        assert known.licence
        assert known.source.startswith("http")
        assert known.files
        for file in known.files:
            assert file.sha256 is None or len(bytes.fromhex(file.sha256)) == 32
            assert (file.size is None) == (file.name.endswith(".npz") or file.sha256 is None)
            if known.urls and not known.convert:
                assert any(url.endswith("/" + file.name) for url in known.urls)
        for number in COUNTS.get(name, ()):
            assert f"{number:,}" in known.splits


def test_unknown_name():
    with pytest.raises(ValueError, match=r"did you mean omniglot\? known: cifar10"):
        entry("omnigolt")


def test_bundled_digits_need_nothing(nowhere):
    data = load("mnist-mini")
    assert data.spec == ((28, 28), "binary")
    assert data.binarisation == "dynamic"
    assert sizes(data) == COUNTS["mnist-mini"]
    np.testing.assert_array_equal(data.train.y[:10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4])
    np.testing.assert_array_equal(data.test.y[:10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])
    assert (np.bincount(data.test.y, minlength=10) > 80).all()
    assert verify("mnist-mini") == Path(convert.__file__).parent
    assert not nowhere.exists()


def test_bundled_digits_are_small_and_attributed():
    folder = Path(convert.__file__).parent
    assert (folder / "mnist_mini.npz").stat().st_size < 1.3e6
    assert "licenses/by-sa/3.0" in (folder / "ATTRIBUTION-mnist.md").read_text()


def test_bundled_digits_are_the_first_of_mnist(full_data, tmp_path):
    convert.mnist_mini(full_data("mnist"), tmp_path / "mini.npz")
    made = parsers.npz(tmp_path / "mini.npz")
    assert digest(made) == entry("mnist-mini").files[0].sha256


@pytest.mark.parametrize("name", ["mnist-mini", "mnist", "fashion-mnist", "omniglot", "frey-faces"])
def test_no_picture_is_in_two_splits(name, request):
    if name != "mnist-mini":
        request.getfixturevalue("full_data")(name)
    data = load(name)
    hashes = {
        split.name: {hashlib.sha256(x.tobytes()).digest() for x in split.x}
        for split in (data.train, data.valid, data.test)
    }
    # One pair of Omniglot's drawings is the same at 28 x 28.
    twins = 1 if name == "omniglot" else 0
    assert not hashes["train"] & hashes["valid"]
    assert len((hashes["train"] | hashes["valid"]) & hashes["test"]) == twins


@pytest.mark.parametrize("name", sorted(set(COUNTS) - {"mnist-mini"}))
def test_full_set(name, full_data):
    full_data(name)
    data = load(name)
    assert sizes(data) == COUNTS[name]
    assert data.spec.shape == data.train.x.shape[1:] == data.test.x.shape[1:]
    assert set(data.info["sha256"]) == {file.name for file in entry(name).files}
    for split in (data.train, data.valid, data.test):
        assert split.y is None or len(split.y) == len(split)
        if data.spec.kind == "text":
            assert 0 <= split.x.min() <= split.x.max() < len(data.info["vocab"])
            assert not split.x[~split.mask].any()
        else:
            assert split.x.dtype == np.uint8


def test_full_mnist(full_data):
    folder = full_data("mnist")
    data = load("mnist")
    raw = read_bytes(folder / "train-images-idx3-ubyte.gz")
    np.testing.assert_array_equal(
        data.train.x.reshape(-1), np.frombuffer(raw, np.uint8)[16:][: 59600 * 784]
    )
    np.testing.assert_array_equal(
        data.valid.x.reshape(-1), np.frombuffer(raw, np.uint8)[-400 * 784 :]
    )
    np.testing.assert_array_equal(
        np.bincount(data.test.y), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    )
    assert sizes(load("mnist", valid=10000)) == (50000, 10000, 10000)
    assert sizes(load("mnist", limit=100)) == (100, 400, 10000)


def test_omniglot_splits_by_drawer(full_data):
    full_data("omniglot")
    data = load("omniglot")
    assert (np.bincount(data.test.y) == 5).all()
    seen = np.bincount(np.concatenate([data.train.y, data.valid.y]))
    assert (seen == 15).all()
    assert len(seen) == 1623
    # Shuffled: neighbours are rarely one character.
    assert (data.train.y[1:] == data.train.y[:-1]).mean() < 0.01


def test_olivetti_splits_by_person(full_data):
    full_data("olivetti")
    people = [set(split.y) for split in (lambda d: (d.train, d.valid, d.test))(load("olivetti"))]
    assert [len(p) for p in people] == [30, 5, 5]
    assert len(set.union(*people)) == 40


def test_text_reads_back(full_data):
    folder = full_data("text-verses")
    data = load("text-verses")
    first = read_bytes(folder / "test.txt.gz").decode().split("\n")[0]
    row, mask = data.test.x[0], data.test.mask[0]
    assert " ".join(data.info["vocab"][i] for i in row[mask]) == first


def test_kind_and_valid_of_a_known_set():
    with pytest.raises(DataError, match="mnist-mini is known to be unit"):
        load("mnist-mini", kind="real")
    with pytest.raises(DataError, match="from 0 to 4999 of 5000, got 5000"):
        load("mnist-mini", valid=5000)
    assert load("mnist-mini", binarisation="none").spec.kind == "unit"


def test_loading_is_quick():
    started = time.process_time()
    load("mnist-mini").converted("float32")
    assert time.process_time() - started < 1
