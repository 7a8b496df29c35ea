"""Parsers give the right array or raise DataError, whatever the bytes."""

import gzip
import io
import struct
import time
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backhand.data import DataError, parsers
from backhand.data.files import digest, read_bytes

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}
FILES = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
arrays = st.sampled_from(sorted(CODES)).flatmap(
    lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))
)


def idx_bytes(array):
    code = CODES[array.dtype.str.lstrip("|").replace("<", ">")]
    big = array.astype(array.dtype.newbyteorder(">"))
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + big.tobytes()


def npy_bytes(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def damaged(draw, content):
    """Content that is cut, or has some bytes changed, or some added."""
    how = draw(st.sampled_from(["cut", "flip", "add"]))
    if how == "cut":
        return content[: draw(st.integers(0, len(content) - 1))]
    if how == "add":
        return content + draw(st.binary(min_size=1, max_size=20))
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        # Mostly in the header, where damage is more than a wrong pixel.
        at = draw(st.integers(0, min(len(content), 140) - 1))
        changed[at] ^= draw(st.integers(1, 255))
    return bytes(changed)


def array_or_error(parse, *args):
    try:
        found = parse(*args)
    except DataError:
        return None
    for array in found.values() if isinstance(found, dict) else [found]:
        assert isinstance(array, np.ndarray)
        assert array.dtype.isnative
        array.copy()  # reads all of it
    return found


@given(arrays)
@settings(deadline=None)
def test_idx_round_trip(array):
    found = parsers.idx(idx_bytes(array), "file")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=")


@given(st.data(), arrays)
@settings(deadline=None, max_examples=300)
def test_damaged_idx(data, array):
    content = damaged(data.draw, idx_bytes(array))
    found = array_or_error(parsers.idx, content, "file")
    if found is not None:  # only values, or one consistent header for another, were changed
        assert found.nbytes == len(content) - 4 - 4 * found.ndim


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_random_bytes(content):
    array_or_error(parsers.idx, content, "file")
    array_or_error(parsers.npy_bytes, content, "file")
    array_or_error(parsers.npy_bytes, b"\x93NUMPY\x01\x00" + content, "file")
    array_or_error(parsers.csv, content, "file")
    array_or_error(parsers.amat, content, "file", 3)


@pytest.mark.parametrize("shape", [(2**32 - 1,) * 4, (2**31,), (0, 2**32 - 1, 5)])
def test_lying_idx_header(shape):
    content = struct.pack(f">BBBB{len(shape)}I", 0, 0, 0x08, len(shape), *shape) + b"abc"
    with pytest.raises(DataError, match=r"header claims shape .* 3 bytes follow"):
        parsers.idx(content, "file")


def test_empty_array_with_absurd_sizes():
    content = struct.pack(">BBBB8I", 0, 0, 0x0E, 8, 0, *[2**32 - 1] * 7)
    with pytest.raises(DataError, match="impossible shape"):
        parsers.idx(content, "file")


@given(
    hnp.arrays(
        st.sampled_from(
            [np.dtype(d) for d in ("?", "u1", "<i4", ">i8", "<f4", ">f8", "S3", "<U2")]
        ),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    st.booleans(),
)
@settings(deadline=None)
def test_npy_round_trip(array, fortran):
    array = np.asfortranarray(array) if fortran and array.ndim else array
    found = parsers.npy_bytes(npy_bytes(array), "file")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=")


@given(st.data(), arrays)
@settings(deadline=None, max_examples=500)
def test_damaged_npy(data, array):
    array_or_error(parsers.npy_bytes, damaged(data.draw, npy_bytes(array)), "file")


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "claims"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -2), }", "damaged npy header"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "pickle"),
        ("{'descr': '|V4', 'fortran_order': False, 'shape': (2,), }", "dtype must be"),
        ("{'descr': '|S0', 'fortran_order': False, 'shape': (9,), }", "dtype"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", "not a plain array"),
        ("{'descr': '<f3', 'fortran_order': False, 'shape': (2,), }", "unknown dtype"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 40 + "), }", "claims"),
        ("(" * 500, "damaged npy header"),
        ("[1] * 10**9", "damaged npy header"),
    ],
)
def test_lying_npy_header(header, match):
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(8)
    with pytest.raises(DataError, match=match):
        parsers.npy_bytes(content, "file")


@pytest.mark.parametrize("filler", ["1", "1,", " ", "1 ", ", "])
def test_endless_npy_header(filler):
    """Reading a header that never closes takes no time to speak of."""
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + filler * 20000
    content = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header.encode()
    started = time.process_time()
    with pytest.raises(DataError, match="damaged npy header"):
        parsers.npy_bytes(content, "file")
    assert time.process_time() - started < 2


def test_pickle_is_refused(tmp_path):
    content = npy_bytes(np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="pickle"):
        parsers.npy_bytes(content, "file")
    np.savez(tmp_path / "a.npz", x=np.array([None], dtype=object))
    with pytest.raises(DataError, match="pickle"):
        parsers.npz(tmp_path / "a.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_round_trip(tmp_path, save):
    wanted = {"x": np.arange(12.0).reshape(3, 4), "y": np.array([b"a", b"bc"])}
    save(tmp_path / "a.npz", **wanted)
    found = parsers.npz(tmp_path / "a.npz")
    assert list(found) == ["x", "y"]
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)


@given(st.data())
@settings(FILES, max_examples=300)
def test_damaged_npz(tmp_path, data):
    stream = io.BytesIO()
    save = data.draw(st.sampled_from([np.savez, np.savez_compressed]))
    save(stream, x=np.arange(6, dtype=np.float32).reshape(2, 3), y=np.arange(2))
    content = bytearray(stream.getvalue())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    array_or_error(parsers.npz, path)


def test_npz_member_that_claims_too_much(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(10))
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, central + 24, 2**32 - 2)  # uncompressed size
    path.write_bytes(content)
    with pytest.raises(DataError, match="not plausible"):
        parsers.npz(path)


def test_npz_of_other_things(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match=r"'readme\.txt' is not an array"):
        parsers.npz(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", npy_bytes(np.zeros(3)))
    with pytest.raises(DataError, match="NumPy does not use"):
        parsers.npz(path)
    path.write_bytes(b"no zip at all")
    with pytest.raises(DataError, match="damaged npz file"):
        parsers.npz(path)


def test_gzip(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"0123456789"))
    assert read_bytes(path) == b"0123456789"
    assert read_bytes(path, expected=10) == b"0123456789"
    with pytest.raises(DataError, match="more than the 9 bytes"):
        read_bytes(path, expected=9)
    with pytest.raises(DataError, match="expected 11 bytes of content, got 10"):
        read_bytes(path, expected=11)


@pytest.mark.parametrize("cut", [0, 5, 15, -1, -8])
def test_cut_gzip(tmp_path, cut):
    path = tmp_path / "a.gz"
    whole = gzip.compress(b"0123456789" * 10)
    path.write_bytes(whole[:cut] if cut else b"not gzip at all")
    with pytest.raises(DataError, match="damaged gzip file"):
        read_bytes(path)


def test_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000)))
    taken = []
    original = gzip.GzipFile.read

    def read(self, size=-1):
        taken.append(size)
        return original(self, size)

    monkeypatch.setattr(gzip.GzipFile, "read", read)
    with pytest.raises(DataError, match="more than the 100 bytes"):
        read_bytes(path, expected=100)
    assert sum(taken) == 101


def test_size_of_plain_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with pytest.raises(DataError, match="expected 4 bytes, got 3"):
        read_bytes(path, expected=4)


def test_digest_of_arrays_ignores_packing(tmp_path):
    wanted = {"b": np.arange(6).reshape(2, 3), "a": np.zeros((0, 4))}
    np.savez(tmp_path / "1.npz", **wanted)
    np.savez_compressed(tmp_path / "2.npz", **dict(reversed(wanted.items())))
    digests = {digest(parsers.npz(tmp_path / name)) for name in ("1.npz", "2.npz")}
    assert digests == {digest(wanted)}
    assert digest({"b": wanted["b"].T, "a": wanted["a"]}) not in digests
    assert digest({"c": wanted["b"], "a": wanted["a"]}) not in digests


def test_csv():
    wanted = np.array([[1, 2.5], [-3e4, 0]])
    for text in ("1,2.5\n-3e4,0\n", "width,height\r\n1,2.5\r\n-3e4,0", "\ufeff1, 2.5\n-3e4 ,0\n\n"):
        np.testing.assert_array_equal(parsers.csv(text.encode(), "file"), wanted)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("1,2\n3\n", "columns"),
        ("1,2\n3,x\n", "could not convert string 'x'"),
        ("a,b\n", "no rows"),
        ("", "no rows"),
        ("1,2\n# 3,4\n", "could not convert"),
    ],
)
def test_wrong_csv(text, match):
    with pytest.raises(DataError, match=match):
        parsers.csv(text.encode(), "file")


def test_amat():
    wanted = [[0, 1, 1], [1, 0, 0]]
    for text in (b"0 1 1\n1 0 0\n", b"0 1 1 \r\n1 0 0"):
        np.testing.assert_array_equal(parsers.amat(text, "file", 3), wanted)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"0 1 1\n1 0\n", "line 2 has 2 digits, expected 3"),
        (b"0 1 1\n1 0 0 1\n", "line 2 has 4"),
        (b"0 1\n1 1 0 0\n", "line 1 has 2"),
        (b"0 1 1 1 0 0\n", "line 1 has 6"),
        (b"0 2 1\n", "holds b'2'"),
        (b"0 11\n", "stand apart"),
        (b"", "no digits"),
        (b"\n \n", "no digits"),
    ],
)
def test_wrong_amat(text, match):
    with pytest.raises(DataError, match=match):
        parsers.amat(text, "file", 3)


def test_text():
    assert parsers.lines("a b\r\n\n \nc\u0085d\n".encode(), "file") == ["a b", "c\x85d"]
    with pytest.raises(DataError, match="line 2 is not UTF-8"):
        parsers.lines(b"good\nbad \xff\n", "file")
