"""Parsers of idx, npy, npz, csv, amat and text.

Each gives the right array or raises DataError.  Sizes that a header claims are compared
with the bytes that are there before any memory is taken; pickled objects are refused.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from backhand._types import Array, Shape
from backhand.data.files import DataError, plausible_size

_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMS = 32
# As NumPy writes it.  Its own reader takes any Python literal, and fails in as many ways.
_NPY_HEADER = re.compile(
    r"\{\s*'descr'\s*:\s*'([<>|=]?[a-zA-Z]\d{0,9})'\s*,\s*'fortran_order'\s*:\s*(True|False)"
    r"\s*,\s*'shape'\s*:\s*\(((?:\s*\d{1,20}(?:\s*,\s*\d{1,20})*\s*,?)?)\s*\)\s*,?\s*\}\s*",
    re.ASCII,
)


def idx(content: bytes, source: str) -> Array:
    """The array of an idx file (LeCun): 0, 0, type, dimensions, then sizes, big-endian."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise DataError(f"{source}: not an idx file (it begins with {content[:4]!r})")
    dims = content[3]
    if dims > _MAX_DIMS or len(content) < 4 + 4 * dims:
        raise DataError(f"{source}: idx header with {dims} dimensions does not fit the file")
    shape = struct.unpack_from(f">{dims}I", content, 4)
    return _array(content, 4 + 4 * dims, np.dtype(_IDX_TYPES[content[2]]), shape, False, source)


def npy_bytes(content: bytes, source: str) -> Array:
    """The array of an npy file, formats 1.0 and 2.0 (what NumPy writes for plain arrays)."""
    if content[:6] != b"\x93NUMPY" or content[6:8] not in (b"\1\0", b"\2\0"):
        raise DataError(f"{source}: not an npy file of format 1.0 or 2.0")
    start = 10 if content[6] == 1 else 12
    end = start + int.from_bytes(content[8:start], "little")
    header = _NPY_HEADER.fullmatch(content[start:end].decode("latin-1"))
    if header is None or end > len(content):
        raise DataError(f"{source}: damaged npy header, or not a plain array of numbers")
    try:
        dtype = np.dtype(header[1])
    except (TypeError, ValueError) as error:
        raise DataError(f"{source}: unknown dtype {header[1]!r}") from error
    if dtype.hasobject:
        raise DataError(f"{source}: holds Python objects (pickle), which are never loaded")
    if dtype.kind not in "biufSU" or dtype.itemsize == 0:
        raise DataError(f"{source}: dtype must be bool, integer, float or string, got {dtype}")
    shape = tuple(int(size) for size in re.findall(r"\d+", header[3]))
    return _array(content, end, dtype, shape, header[2] == "True", source)


def _array(
    content: bytes, offset: int, dtype: np.dtype[Any], shape: Shape, fortran: bool, source: str
) -> Array:
    """A native-endian, read-only array over content[offset:], whose size must be exact."""
    claimed = math.prod(shape) * dtype.itemsize
    present = len(content) - offset
    if len(shape) > _MAX_DIMS or claimed != present:
        raise DataError(
            f"{source}: the header claims shape {shape} of {dtype}, {claimed} bytes, "
            f"but {present} bytes follow it; the file is damaged or cut"
        )
    try:
        array: Array = np.ndarray(
            shape, dtype, buffer=content, offset=offset, order="F" if fortran else "C"
        )
    except (ValueError, OverflowError) as error:  # an empty array with absurd other sizes
        raise DataError(f"{source}: impossible shape {shape} ({_first_line(error)})") from error
    return array if array.dtype.isnative else array.astype(dtype.newbyteorder("="))


def npz(path: Path) -> dict[str, Array]:
    """The arrays of an npz file by name.

    Members must be stored or deflated, as NumPy writes them, and no member may claim a size
    that its compressed bytes cannot hold.
    """
    with path.open("rb") as file:
        try:
            return _members(path, file)
        except DataError:
            raise
        # Damage shows as any of these, from zipfile, zlib and struct.
        except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError,
                RuntimeError, OverflowError) as error:  # fmt: skip
            raise DataError(f"{path}: damaged npz file ({_first_line(error)})") from error


def _members(path: Path, file: IO[bytes]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            source = f"{path}[{name}]"
            if name == info.filename:
                raise DataError(f"{path}: member {name!r} is not an array (.npy)")
            if name in arrays:
                raise DataError(f"{path}: two arrays are called {name!r}")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(f"{source}: compressed in a way that NumPy does not use")
            if not plausible_size(info.file_size, info.compress_size):
                raise DataError(f"{source}: {info.file_size} bytes claimed is not plausible")
            arrays[name] = npy_bytes(archive.read(info), source)
    return arrays


def csv(content: bytes, source: str) -> Array:
    """A table of numbers, (rows, columns) float64; a first line that is not numeric is a header."""
    text = decode(content, source)
    first, _, rest = text.partition("\n")
    try:
        [float(field) for field in first.split(",")]
    except ValueError:
        text = rest
    if not text.strip():
        raise DataError(f"{source}: no rows of numbers")
    try:
        return np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2, comments=None)
    except ValueError as error:
        raise DataError(f"{source}: {_first_line(error)} (not counting the header)") from error


def amat(content: bytes, source: str, columns: int) -> Array:
    """Text of digits 0 and 1 between white space, ``columns`` a line: (rows, columns) uint8."""
    digits = content.translate(None, b" \r\n")
    if other := digits.translate(None, b"01"):
        raise DataError(f"{source}: holds {other[:1]!r}, which is not 0 or 1")
    if any(pair in content for pair in (b"00", b"01", b"10", b"11")):
        raise DataError(f"{source}: digits must stand apart, one for each pixel")
    for number, line in enumerate(content.split(b"\n"), 1):
        if (count := line.count(b"0") + line.count(b"1")) not in (0, columns):
            raise DataError(f"{source}: line {number} has {count} digits, expected {columns}")
    if not digits:
        raise DataError(f"{source}: no digits")
    values: Array = (np.frombuffer(digits, np.uint8) - ord("0")).reshape(-1, columns)
    return values


def lines(content: bytes, source: str) -> list[str]:
    """The lines of a UTF-8 text that are not blank."""
    return [line for line in decode(content, source).split("\n") if line.strip()]


def decode(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{source}: line {line} is not UTF-8 ({error.reason})") from error


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
