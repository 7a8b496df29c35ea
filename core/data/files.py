"""Files to bytes, and the digest of what is in them; sizes are bounded before memory is taken."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from backhand._types import Array

MAX_BYTES = 1 << 34  # of a decompressed file whose size nobody states: 16 GiB
_CHUNK = 1 << 20
# Deflate cannot do better: 258 bytes from two bits, less the block headers.
_MAX_RATIO = 1032


class DataError(ValueError):
    """Data that cannot be used: damaged, of another format, or not what was promised."""


def read_bytes(path: Path, *, expected: int | None = None) -> bytes:
    """The content of a file, decompressed if its name ends in ``.gz``.

    expected: its size in bytes where that is known; a file of another size raises
    DataError, and never more than this and one byte are decompressed.
    """
    if path.suffix == ".gz":
        content = _gunzip(path, MAX_BYTES if expected is None else expected)
    else:
        size = path.stat().st_size
        if expected is not None and size != expected:
            raise DataError(f"{path}: expected {expected} bytes, got {size}; fetch it anew")
        content = path.read_bytes()
    if expected is not None and len(content) != expected:
        raise DataError(
            f"{path}: expected {expected} bytes of content, got {len(content)}; fetch it anew"
        )
    return content


def _gunzip(path: Path, limit: int) -> bytes:
    limit = min(limit, _MAX_RATIO * path.stat().st_size)
    chunks, size = [], 0
    try:
        with gzip.open(path) as file:
            while chunk := file.read(min(_CHUNK, limit + 1 - size)):
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise DataError(f"{path}: more than the {limit} bytes of content expected")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); fetch it anew") from error
    return b"".join(chunks)


def plausible_size(size: int, compressed: int) -> bool:
    """Whether deflate can have made ``compressed`` bytes from ``size`` bytes."""
    return 0 <= size <= min(MAX_BYTES, _MAX_RATIO * compressed)


def digest(content: bytes | Mapping[str, Array]) -> str:
    """SHA-256 (hex) of bytes; of named arrays: of each name, dtype, shape and C-order content.

    Arrays are taken in the order of their names, so that the digest of an .npz does not
    depend on how it was packed.
    """
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    sha = hashlib.sha256()
    for name in sorted(content):
        array = np.ascontiguousarray(content[name])
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        if array.size:
            sha.update(array.reshape(-1).view(np.uint8).data)
    return sha.hexdigest()
