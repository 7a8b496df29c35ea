"""A user's own arrays and files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from backhand._types import Array
from backhand.data import parsers, text
from backhand.data.files import DataError, read_bytes
from backhand.data.split import SPLITS, Split

FORMATS = ".npz, .npy, .csv, .txt, .txt.gz, or an idx file (idx or ubyte in its name, or .gz)"
_NAMES = re.compile(r"(?:(train|valid|val|test)_)?(x|y|mask)|(x|y|mask)_(train|valid|val|test)")


def read(path: Path) -> dict[str, Array] | list[str]:
    """Named arrays, or the lines of a text."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; expected a file: {FORMATS}")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    source, suffixes = str(path), path.suffixes
    if path.suffix == ".npz":
        return parsers.npz(path)
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else path.suffix
    if kind not in (".npy", ".csv", ".txt") and not re.search("idx|ubyte", path.name):
        raise DataError(f"{path}: unknown kind of file; expected {FORMATS}")
    content = read_bytes(path)
    if kind == ".txt":
        return parsers.lines(content, source)
    parser = {".npy": parsers.npy_bytes, ".csv": parsers.csv}.get(kind, parsers.idx)
    return {"x": parser(content, source)}


def parts_of(arrays: Mapping[str, Array], source: str) -> dict[str, Split]:
    """Splits from arrays called x, y, mask, with or without train_, valid_, test_ in front.

    A lone array may have any name.
    """
    if len(arrays) == 1 and not _NAMES.fullmatch(next(iter(arrays))):
        arrays = {"x": next(iter(arrays.values()))}
    found: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.hasobject:
            raise DataError(f"{source}: {name} must be a NumPy array of numbers")
        match = _NAMES.fullmatch(name)
        if not match:
            raise DataError(
                f"{source}: array {name!r} is not known; expected x, y, mask, or the same with "
                f"train_, valid_, test_ in front, or a single array; got {', '.join(arrays)}"
            )
        split, letter = match[1] or match[4] or "train", match[2] or match[3]
        part = found.setdefault("valid" if split == "val" else split, {})
        if letter in part:
            raise DataError(f"{source}: two arrays stand for {letter} of {split}")
        part[letter] = array
    missing = ["training data"] if "train" not in found else []
    missing += [f"x of {split}" for split, part in found.items() if "x" not in part]
    if missing:
        raise DataError(f"{source}: {missing[0]} missing; got {', '.join(arrays)}")
    parts = {
        name: Split(name, found[name]["x"], found[name].get("y"), found[name].get("mask"))
        for name in SPLITS
        if name in found
    }
    for split_ in parts.values():
        _check(split_, parts["train"], source)
    return parts


def _check(split: Split, train: Split, source: str) -> None:
    x, where = split.x, f"{source}: x of {split.name}"
    if x.dtype.kind not in "biuf":
        raise DataError(f"{where} must hold numbers, got dtype {x.dtype}")
    if x.ndim < 2 or x.size == 0:
        raise DataError(
            f"{where} must have a row for each datum, (N, D) or more axes, and not be empty, "
            f"got shape {x.shape}"
        )
    if x.shape[1:] != train.x.shape[1:] or x.dtype != train.x.dtype:
        raise DataError(
            f"{where} has data of shape {x.shape[1:]} and {x.dtype}, train has "
            f"{train.x.shape[1:]} and {train.x.dtype}"
        )
    if split.y is not None and split.y.shape[:1] != x.shape[:1]:
        raise DataError(f"{where} has {len(x)} rows, but y has shape {split.y.shape}")
    if split.mask is not None and split.mask.shape != x.shape[: split.mask.ndim]:
        raise DataError(f"{where} has shape {x.shape}, but mask has {split.mask.shape}")
    finite = np.isfinite(x)
    if not finite.all():
        at = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise DataError(
            f"{where} is {x[at]} at index {at} (row {at[0]}), one of {int((~finite).sum())} values "
            "that are not finite; fill them in or leave these rows out"
        )


def kind_of(parts: Mapping[str, Split], wanted: str | None) -> tuple[str, str]:
    """The kind of the values, and the reason in words; ``wanted`` overrides what they suggest."""
    arrays = [split.x for split in parts.values()]
    low = min(float(x.min()) for x in arrays)
    high = max(float(x.max()) for x in arrays)
    bits = low >= 0 and high <= 1 and all(((x == 0) | (x == 1)).all() for x in arrays)
    pictures = all(x.dtype == np.uint8 for x in arrays)
    unit = pictures or (low >= 0 and high <= 1)
    if wanted is not None:
        if wanted not in ("binary", "unit", "real"):
            raise DataError(f"kind must be binary, unit or real, got {wanted!r}")
        if (wanted == "binary" and not bits) or (wanted == "unit" and not unit):
            need = "0 and 1 alone" if wanted == "binary" else "values in [0, 1], or uint8"
            raise DataError(f"kind {wanted} needs {need}; the values lie in [{low:g}, {high:g}]")
        return wanted, "as asked"
    if bits:
        return "binary", "all values are 0 or 1"
    if pictures:
        return "unit", "uint8, taken as pictures and divided by 255"
    if unit and arrays[0].dtype.kind == "f":
        return "unit", "all values lie in [0, 1]"
    return "real", f"the values lie in [{low:g}, {high:g}]"


def text_parts(lines: list[str], held_out: int, source: str) -> tuple[dict[str, Split], list[str]]:
    """Lines to tokens; the vocabulary is that of the lines which are not held out."""
    if not lines:
        raise DataError(f"{source}: no lines of text")
    vocab = text.vocabulary(lines[: len(lines) - held_out])
    x, mask = text.tokens(lines, vocab, text.longest(lines))
    return {"train": Split("train", x, None, mask)}, vocab
