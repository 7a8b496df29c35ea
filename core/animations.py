"""Moving pictures as files: a frame each, also where two are equal (Pillow would merge them).

gif: at most 256 colours a frame.  apng: every pixel as it is (PNG specification, third edition,
chunks acTL, fcTL and fdAT); what does not know it shows the first frame.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backhand._types import Array
from backhand.checkpoint import replacing
from backhand.pictures import pillow

LAST = 10  # times as long as the others, the last frame stays


def save_animation(path: str | os.PathLike[str], frames: Array, milliseconds: int = 200) -> None:
    """Write (T, H, W, 3) uint8 as an endless ``.gif`` or ``.apng``; whole or not there."""
    target = Path(path)
    formats = {".gif": _gif, ".apng": _apng}
    if target.suffix not in formats:
        raise ValueError(f"{target}: the name must end in {' or '.join(formats)}")
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
        raise ValueError(
            f"{target}: frames must be (T, H, W, 3) uint8 with T > 0, got {frames.shape} "
            f"{frames.dtype}"
        )
    durations = [milliseconds] * (len(frames) - 1) + [LAST * milliseconds]
    with replacing(target) as file:
        for part in formats[target.suffix](frames, durations):
            file.write(part)


def _gif(frames: Array, durations: list[int]) -> Iterator[bytes]:
    Image = pillow()
    from PIL.GifImagePlugin import getdata  # Image.save would drop a frame that equals the last

    height, width = frames.shape[1:3]
    yield b"GIF89a" + width.to_bytes(2, "little") + height.to_bytes(2, "little")
    yield b"\x00\x00\x00" + b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"  # for ever
    for frame, shown in zip(frames, durations, strict=True):
        image = Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE)
        yield from getdata(image, duration=shown, include_color_table=True)
    yield b";"


def _apng(frames: Array, durations: list[int]) -> Iterator[bytes]:
    T, height, width, _ = frames.shape
    yield b"\x89PNG\r\n\x1a\n"
    yield _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))  # RGB, 8 bits
    yield _chunk(b"acTL", struct.pack(">II", T, 0))  # for ever
    numbers = iter(range(2 * T))  # of fcTL and fdAT together
    for frame, shown in zip(frames, durations, strict=True):
        where = (next(numbers), width, height, 0, 0)
        yield _chunk(b"fcTL", struct.pack(">IIIIIHHBB", *where, shown, 1000, 0, 0))
        rows = np.pad(frame.reshape(height, 3 * width), ((0, 0), (1, 0)))  # 0: no filter
        pixels = zlib.compress(rows.tobytes())
        if where[0] == 0:
            yield _chunk(b"IDAT", pixels)
        else:
            yield _chunk(b"fdAT", struct.pack(">I", next(numbers)) + pixels)
    yield _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
