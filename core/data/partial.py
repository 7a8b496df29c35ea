"""A user's pictures known in part: NaN in an array, or not opaque in a png, is unknown."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.data import parsers
from backhand.data.files import DataError, read_bytes
from backhand.model import DataSpec

SUFFIXES = (".npy", ".npz", ".png")


def read_partial(path: Path, spec: DataSpec, dtype: Any) -> tuple[Array, Array]:
    """Pictures x (n, *spec.shape), NaN where unknown, and the mask of what is known.

    .npy, .npz: one array of floats, (n, *shape) or a single picture.  .png: one picture; a pixel
    is known where it is fully opaque, and colours become grey where the model's data are.
    Raises FileNotFoundError, DataError.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} is no {', '.join(SUFFIXES)} file of given pictures")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    x = _png(path, spec) if path.suffix == ".png" else _array(path)
    shape = tuple(spec.shape)
    if (x.shape != shape and x.shape[1:] != shape) or not x.size:
        raise DataError(
            f"{path} holds {_show(x.shape)}; the model was trained on pictures of {_show(shape)}, "
            f"so it must be {_show(shape)}, or {_show(('n', *shape))} for n of them"
        )
    x = x.reshape(-1, *shape)
    mask = ~np.isnan(x)
    if mask.all():
        raise DataError(
            f"{path} has no unknown pixels, so there is nothing to complete: make them NaN in an "
            "array, transparent in a png"
        )
    _check_values(path, x[mask], spec.kind)
    return x.astype(dtype), mask


def _array(path: Path) -> Array:
    if path.suffix == ".npz":
        arrays = parsers.npz(path)
        if len(arrays) != 1:
            raise DataError(f"{path} must hold one array, got {', '.join(arrays) or 'none'}")
        (x,) = arrays.values()
    else:
        x = parsers.npy_bytes(read_bytes(path), str(path))
    if x.dtype.kind != "f":
        raise DataError(f"{path} must hold floats, NaN where a pixel is unknown, got {x.dtype}")
    return x


def _png(path: Path, spec: DataSpec) -> Array:
    """(height, width), or (height, width, channels), in [0, 1]."""
    from backhand.pictures import pillow

    if spec.kind == "real":
        raise DataError(f"{path}: a png holds values in [0, 1], these data are real; give a .npy")
    Image, channels = pillow(), spec.shape[2] if len(spec.shape) == 3 else 1
    if len(spec.shape) not in (2, 3) or channels not in (1, 3):
        raise DataError(f"{path}: a png has one or three channels, these data {_show(spec.shape)}")
    try:
        with Image.open(path) as image:
            colours = image.convert("RGBA")
    except (OSError, SyntaxError, ValueError, zlib.error, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: not a png that can be read ({error})") from error
    x = np.asarray(colours if channels == 3 else colours.convert("L"), np.float64) / 255
    x = x[..., :3] if channels == 3 else x.reshape(*x.shape, *spec.shape[2:])
    unknown = np.asarray(colours)[..., 3] < 255  # (height, width)
    return np.where(unknown.reshape(unknown.shape + (1,) * (x.ndim - 2)), np.nan, x)


def _check_values(path: Path, known: Array, kind: str) -> None:
    """Of the known pixels, flat."""
    if kind == "binary":
        wrong, needed = (known != 0) & (known != 1), "0 or 1 (in a png black or white)"
    elif kind == "unit":
        wrong, needed = ~((known >= 0) & (known <= 1)), "in [0, 1]"
    else:
        wrong, needed = ~np.isfinite(known), "finite"
    if wrong.any():
        raise DataError(
            f"{path}: the model was trained on {kind} data, so known pixels must be {needed}, got "
            f"{known[wrong][0]:.6g} and {int(wrong.sum()) - 1} more that are not"
        )


def _show(shape: tuple[Any, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"
