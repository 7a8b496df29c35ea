"""From the public files of a data set to ours, where these differ.

Each function takes the folder into which the public files were fetched and writes our file
beside them; its content is then verified by digest like any other.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.data import parsers
from backhand.data.files import DataError, read_bytes

_MAX_PNG = 1 << 20
_DRAWING = re.compile(r"images_\w+/([^/]+)/(character\d+)/\d+_(\d+)\.png")


def omniglot(folder: Path) -> None:
    """``images_background.zip`` and ``images_evaluation.zip`` to ``omniglot28.npz``.

    Rows: alphabets of the first file, then of the second, characters sorted by folder name,
    drawers 1 to 20 within a character.
    """
    rows, images = [], []
    for background, name in ((1, "images_background.zip"), (0, "images_evaluation.zip")):
        try:
            with zipfile.ZipFile(folder / name) as archive:
                drawings = []
                for info in archive.infolist():
                    member = info.filename
                    if match := _DRAWING.fullmatch(member):
                        if info.file_size > _MAX_PNG:
                            raise DataError(f"{member}: too large for a drawing")
                        drawings.append((match[1], match[2], int(match[3]), member))
                for alphabet, character, number, member in sorted(drawings):
                    rows.append((alphabet, (background, alphabet, character), number, background))
                    images.append(_shrunk(_ink(archive.read(member), member)))
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DataError(f"{folder / name}: damaged zip file ({error})") from error
    if not rows:
        raise DataError(f"{folder}: no drawings in the zip files")
    alphabets, characters, drawers, backgrounds = zip(*rows, strict=True)
    names = list(dict.fromkeys(alphabets))
    keys = {key: i for i, key in enumerate(dict.fromkeys(characters))}
    drawer = np.array(drawers, np.uint8)
    # The published split by characters was drawn with this generator.
    permutation = np.random.RandomState(0).permutation(len(keys))
    np.savez_compressed(
        folder / "omniglot28.npz",
        images=np.array(images),
        alphabet_names=np.array([name.encode() for name in names]),
        character_permutation=np.asarray(permutation, np.uint16),
        character=np.array([keys[key] for key in characters], np.uint16),
        alphabet=np.array([names.index(name) for name in alphabets], np.uint8),
        drawer=drawer,
        background=np.array(backgrounds, np.uint8),
        test=(drawer > 15).astype(np.uint8),
    )


def _ink(png: bytes, name: str) -> Array:
    """A drawing, (105, 105) uint8, 1 = ink."""
    try:
        from PIL import Image
    except ImportError:
        raise DataError("reading png files needs pillow: pip install 'backhand[app]'") from None
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.size != (105, 105):
                raise DataError(f"{name}: expected 105 x 105 pixels, got {image.size}")
            ink: Array = (np.asarray(image.convert("L")) == 0).astype(np.uint8)
            return ink
    except (OSError, SyntaxError) as error:
        raise DataError(f"{name}: damaged png file ({error})") from error


def _shrunk(ink: Array) -> Array:
    """The exact area average, 105 x 105 to 28 x 28, as uint8 with ink = 255."""
    fine = ink.repeat(4, 0).repeat(4, 1).reshape(28, 15, 28, 15)
    average: Array = np.rint(fine.sum((1, 3)) * (255 / 225)).astype(np.uint8)
    return average


def frey_faces(folder: Path) -> None:
    """``frey_rawface.mat`` (a column of 560 pixels for each frame) to ``freyfaces.npz``."""
    try:
        from scipy.io import loadmat  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise DataError("reading frey_rawface.mat needs scipy: pip install scipy") from None
    path = folder / "frey_rawface.mat"
    try:
        faces = loadmat(path)["ff"]
    except Exception as error:  # scipy names no set of errors for a damaged file
        raise DataError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error
    if faces.dtype != np.uint8 or faces.ndim != 2 or faces.shape[0] != 560:
        raise DataError(f"{path}: ff must be (560, frames) uint8, got {faces.shape} {faces.dtype}")
    images = np.ascontiguousarray(faces.T).reshape(-1, 28, 20)
    np.savez_compressed(folder / "freyfaces.npz", images=images)


def mnist_mini(folder: Path, target: Path, train: int = 5000, test: int = 1000) -> None:
    """The first digits of each part of MNIST in ``folder``: how ``mnist_mini.npz`` was made."""
    parts: dict[str, Any] = {}
    for name, prefix, n in (("train", "train", train), ("test", "t10k", test)):
        for letter, kind in (("x", "images-idx3"), ("y", "labels-idx1")):
            path = folder / f"{prefix}-{kind}-ubyte.gz"
            parts[f"{name}_{letter}"] = parsers.idx(read_bytes(path), str(path))[:n]
    np.savez_compressed(target, **parts)
