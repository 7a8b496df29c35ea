"""A user's own arrays and files."""

import gzip
import struct

import numpy as np
import pytest

from backhand.data import DataError, load

rng = np.random.default_rng(0)
TABLE = rng.normal(size=(50, 3))


def test_array():
    data = load(TABLE)
    assert data.spec == ((3,), "real")
    assert (len(data.train), len(data.valid), data.test) == (45, 5, None)
    both = np.concatenate([data.train.x, data.valid.x])
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(TABLE, axis=0))
    assert data.binarisation == "none"
    assert data.info["kind"].startswith("the values lie in [-")


def test_a_sorted_table_is_held_out_all_over():
    rows = np.arange(200.0)[:, None] + [[0.5, -7]]
    data = load(rows)
    held = data.valid.x[:, 0]
    assert len(held) == 20
    assert held.min() < 60
    assert held.max() > 140
    assert (np.diff(held) > 0).all()
    assert (np.diff(data.train.x[:, 0]) > 0).all()
    np.testing.assert_array_equal(held, load(rows).valid.x[:, 0])


def test_the_callers_array_is_not_written():
    grey = rng.integers(0, 256, (20, 4), dtype=np.uint8)
    before = grey.copy()
    load(grey, binarisation="once").converted("float32")
    np.testing.assert_array_equal(grey, before)


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (rng.random((20, 3)) < 0.5, "binary"),
        (rng.integers(0, 2, (20, 3)), "binary"),
        (rng.integers(0, 2, (20, 3), dtype=np.uint8), "binary"),
        (rng.integers(0, 2, (20, 3)).astype(np.float32), "binary"),
        (rng.random((20, 3)), "unit"),
        (rng.integers(0, 256, (20, 3), dtype=np.uint8), "unit"),
        (rng.integers(0, 256, (20, 3)), "real"),
        (rng.random((20, 3)) * 1.5, "real"),
        (rng.random((20, 3)) - 0.5, "real"),
    ],
)
def test_kind_by_value(x, kind):
    data = load(x)
    assert data.spec.kind == kind
    low, high = (0, 1) if kind != "real" else (-np.inf, np.inf)
    converted = data.converted("float32")
    for split in (converted.train, converted.valid):
        assert split.x.dtype == np.float32
        assert low <= split.x.min() <= split.x.max() <= high
    scale = 255 if data.train.x.dtype == np.uint8 and kind == "unit" else 1
    np.testing.assert_allclose(converted.train.x, data.train.x / scale, rtol=1e-6)


def test_kind_can_be_forced():
    counts = rng.integers(0, 9, (20, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        load(counts, kind="real", valid=0).converted("float64").train.x, counts.astype(float)
    )
    bits = rng.integers(0, 2, (20, 3))
    assert load(bits, kind="unit").spec.kind == "unit"
    with pytest.raises(DataError, match=r"binary needs 0 and 1 alone; the values lie in \[0, "):
        load(counts, kind="binary")
    with pytest.raises(DataError, match="unit needs values"):
        load(TABLE, kind="unit")
    with pytest.raises(DataError, match="must be binary, unit or real, got 'gray'"):
        load(TABLE, kind="gray")


def test_kind_depends_on_no_limit_and_all_splits():
    x = np.zeros((20, 3))
    x[19] = 7
    assert load(x, limit=5).spec.kind == "real"
    assert load({"x": x[:19], "test_x": x[19:]}).spec.kind == "real"


def test_valid_and_limit():
    whole, data = load(TABLE, valid=20), load(TABLE, valid=20, limit=7)
    np.testing.assert_array_equal(data.train.x, whole.train.x[:7])
    np.testing.assert_array_equal(data.valid.x, whole.valid.x)
    assert len(data.valid) == 20
    assert load(TABLE, valid=0).valid is None
    assert len(load(TABLE[:2]).valid) == 1
    for valid in (-1, 50, 51):
        with pytest.raises(DataError, match=f"from 0 to 49 of 50, got {valid}"):
            load(TABLE, valid=valid)
    with pytest.raises(DataError, match="from 0 to 0 of 1, got 1"):
        load(TABLE[:1])
    for limit in (0, -3):
        with pytest.raises(DataError, match="at least 1 of the train data"):
            load(TABLE, limit=limit)


def test_named_arrays():
    for names in (
        ("train_x", "val_x", "test_x", "test_y"),
        ("x_train", "x_val", "x_test", "y_test"),
    ):
        parts = (TABLE[:30], TABLE[30:40], TABLE[40:], np.arange(10))
        data = load(dict(zip(names, parts, strict=True)))
        assert [len(s) for s in (data.train, data.valid, data.test)] == [30, 10, 10]
        assert data.train.y is None
        np.testing.assert_array_equal(data.test.y, np.arange(10))
    with pytest.raises(DataError, match="has its own validation data"):
        load({"x": TABLE, "valid_x": TABLE}, valid=5)


def test_missing_split_says_what_there_is():
    with pytest.raises(DataError, match="array has no test part; it has train, valid"):
        load(TABLE).split("test")
    with pytest.raises(ValueError, match="one of train, valid, test, got 'tset'"):
        load(TABLE).split("tset")
    assert load(TABLE).split("valid").name == "valid"


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (np.arange(5.0), r"a row for each datum.*got shape \(5,\)"),
        (np.zeros((0, 3)), "not be empty"),
        (np.zeros((3, 0)), "not be empty"),
        (np.array([["a", "b"]]), "must hold numbers, got dtype <U1"),
        (np.array([[1, None]]), "x must be a NumPy array of numbers"),
        (np.zeros((3, 2), complex), "must hold numbers, got dtype complex128"),
        ({"x": [[1.0, 2.0]]}, "x must be a NumPy array"),
        ({"x": TABLE, "y": np.arange(3)}, r"has 50 rows, but y has shape \(3,\)"),
        ({"x": TABLE, "mask": np.ones((50, 2))}, r"mask has \(50, 2\)"),
        ({"x": TABLE, "test_x": TABLE[:, :2]}, r"shape \(2,\) and float64, train has \(3,\)"),
        ({"x": TABLE, "test_x": TABLE.astype("f4")}, "float32, train has .* float64"),
        ({"x": TABLE, "train_x": TABLE}, "two arrays stand for x of train"),
        ({"x": TABLE, "labels": TABLE}, "array 'labels' is not known.*got x, labels"),
        ({"test_x": TABLE}, "training data missing; got test_x"),
        ({"x": TABLE, "test_y": TABLE}, "x of test missing"),
        ({}, "training data missing"),
    ],
)
def test_wrong_arrays(x, match):
    with pytest.raises(DataError, match=match):
        load(x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(value):
    x = TABLE.copy()
    x[7, 2] = x[9, 0] = value
    with pytest.raises(DataError, match=r"is -?(nan|inf) at index \(7, 2\) \(row 7\), one of 2"):
        load(x)


def test_beyond_the_range_of_the_models_dtype():
    data = load(TABLE * 1e300)
    assert data.converted("float64").train.x.dtype == np.float64
    with pytest.raises(DataError, match="x of train has values beyond the range of float32"):
        data.converted("float32")


def test_wrong_things():
    with pytest.raises(TypeError, match="got list"):
        load([[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"unknown data set 'mnits'; did you mean mnist\?"):
        load("mnits")
    with pytest.raises(FileNotFoundError, match=r"mine\.npz: no such file"):
        load("mine.npz")


def test_files(tmp_path):
    np.save(tmp_path / "a.npy", TABLE)
    np.savez(tmp_path / "a.npz", anything=TABLE)
    np.savetxt(tmp_path / "a.csv", TABLE, delimiter=",", header="a,b,c", comments="")
    loaded = [load(tmp_path / f"a.{kind}") for kind in ("npy", "npz", "csv")]
    for data in loaded:
        np.testing.assert_array_equal(data.train.x, load(TABLE).train.x)
        assert data.name.startswith(str(tmp_path))
    assert len({next(iter(data.info["sha256"].values())) for data in loaded}) == 1
    grey = rng.integers(0, 256, (20, 2, 2), dtype=np.uint8)
    content = struct.pack(">BBBB3I", 0, 0, 8, 3, *grey.shape) + grey.tobytes()
    (tmp_path / "my-images-idx3-ubyte").write_bytes(content)
    (tmp_path / "my.idx.gz").write_bytes(gzip.compress(content))
    for name in ("my-images-idx3-ubyte", "my.idx.gz"):
        np.testing.assert_array_equal(load(str(tmp_path / name), valid=0).train.x, grey)


def test_wrong_files(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"unknown kind of file; expected \.npz"):
        load(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="is a folder"):
        load(tmp_path)
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.npz: damaged"):
        load(tmp_path / "a.npz")


def test_text(tmp_path):
    lines = ["b a b", "a c", "b"] * 3 + ["", "new a"]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    for name in ("a.txt", "b.txt.gz"):
        data = load(tmp_path / name)
        assert data.spec == ((3,), "text")
        # "new" stands in the held-out line alone, so training knows nothing of it.
        assert data.info["vocab"] == ["<unk>", "b", "a", "c"]
        np.testing.assert_array_equal(data.train.x[:3], [[1, 2, 1], [2, 3, 0], [1, 0, 0]])
        np.testing.assert_array_equal(data.train.mask[:3].sum(1), [3, 2, 1])
        np.testing.assert_array_equal(data.valid.x, [[0, 2, 0]])
        np.testing.assert_array_equal(data.valid.mask, [[True, True, False]])
        converted = data.converted("float32").train
        assert converted.x.dtype == np.int32
    with pytest.raises(DataError, match="is text"):
        load(tmp_path / "a.txt", kind="real")
    with pytest.raises(DataError, match=r"needs grey values.* is text"):
        load(tmp_path / "a.txt", binarisation="once")
    (tmp_path / "c.txt").write_text("\n\n")
    with pytest.raises(DataError, match="no lines"):
        load(tmp_path / "c.txt")


def test_text_with_one_endless_line(tmp_path):
    (tmp_path / "a.txt").write_text("a " * 200_000 + "\nb" * 20_000)
    with pytest.raises(DataError, match="200000 tokens, are too large"):
        load(tmp_path / "a.txt")
