"""From the verified files of a known data set to its parts, before anything is held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.data import parsers, text
from backhand.data.files import DataError
from backhand.data.registry import Entry
from backhand.data.split import SPLITS, Split
from backhand.noise import order

Contents = Mapping[str, Any]
Parts = dict[str, Split]


def build(entry: Entry, contents: Contents) -> tuple[Parts, dict[str, Any]]:
    """The parts by name, and what else is to be known (a vocabulary, class names)."""
    if entry.kind == "text":
        return _text(contents)
    return _BUILDERS.get(entry.name, _idx)(entry, contents), {}


def _idx(entry: Entry, contents: Contents) -> Parts:
    parts = {}
    for name, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = (f"{prefix}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
        x = parsers.idx(contents[images], images)
        parts[name] = Split(name, x, parsers.idx(contents[labels], labels))
    return parts


def _mini(entry: Entry, contents: Contents) -> Parts:
    z = contents["mnist_mini.npz"]
    return {name: Split(name, z[f"{name}_x"], z[f"{name}_y"]) for name in ("train", "test")}


def _static(entry: Entry, contents: Contents) -> Parts:
    parts = {}
    for name, n in zip(SPLITS, (50000, 10000, 10000), strict=True):
        file = f"binarized_mnist_{name}.amat"
        x = parsers.amat(contents[file], file, 784)
        if len(x) != n:
            raise DataError(f"{file}: expected {n} lines, got {len(x)}; fetch it anew")
        parts[name] = Split(name, x.reshape(-1, 28, 28))
    return parts


def _omniglot(entry: Entry, contents: Contents) -> Parts:
    z = contents["omniglot28.npz"]
    return _marked(entry, z["images"], z["character"], z["test"])


def _congress(entry: Entry, contents: Contents) -> Parts:
    z = contents["congress_faces64.npz"]
    return _marked(entry, z["y"], None, z["test"])


def _marked(entry: Entry, x: Array, y: Array | None, test: Array) -> Parts:
    train = np.flatnonzero(test == 0)
    train = train[order(entry.seed, 0, len(train))]
    rows = {"train": train, "test": np.flatnonzero(test)}
    return {name: Split(name, x, y).rows(index) for name, index in rows.items()}


def _frey(entry: Entry, contents: Contents) -> Parts:
    x = contents["freyfaces.npz"]["images"]
    # Neighbouring frames of the film are alike, so the test part is drawn from all of it.
    shuffled = order(entry.seed, 0, len(x))
    return {
        "train": Split("train", x[shuffled[:-200]]),
        "test": Split("test", x[shuffled[-200:]]),
    }


def _olivetti(entry: Entry, contents: Contents) -> Parts:
    z = contents["olivetti64.npz"]
    x, person = z["images"], z["person"]
    rows = {"train": person < 35, "test": person >= 35}
    return {name: Split(name, x, person).rows(index) for name, index in rows.items()}


def _cifar(entry: Entry, contents: Contents) -> Parts:
    z = contents["cifar10_jpeg_6000.npz"]
    return {
        name: Split(
            name,
            rgb(z[f"{name}_y"], z[f"{name}_cb"], z[f"{name}_cr"]),
            z[f"{name}_labels"],
        )
        for name in ("train", "test")
    }


def rgb(y: Array, cb: Array, cr: Array) -> Array:
    """JPEG's YCbCr, (N, H, W) and twice (N, H/2, W/2), to (N, H, W, 3), all uint8."""
    luma = y.astype(np.float32)
    b, r = (c.repeat(2, 1).repeat(2, 2).astype(np.float32) - 128 for c in (cb, cr))
    colours = [luma + 1.402 * r, luma - 0.344136 * b - 0.714136 * r, luma + 1.772 * b]
    out: Array = np.clip(np.rint(np.stack(colours, -1)), 0, 255).astype(np.uint8)
    return out


def _text(contents: Contents) -> tuple[Parts, dict[str, Any]]:
    lines = {name: parsers.lines(content, name) for name, content in contents.items()}
    vocab = [token.strip() for token in lines["vocab.txt.gz"]]
    length = max(text.longest(lines[f"{name}.txt.gz"]) for name in SPLITS)
    classes = sorted(set(lines.get("train.labels.txt.gz", ())))
    number = {label: i for i, label in enumerate(classes)}
    parts = {}
    for name in SPLITS:
        x, mask = text.tokens(lines[f"{name}.txt.gz"], vocab, length)
        labels = lines.get(f"{name}.labels.txt.gz")
        y = np.array([number[label] for label in labels], np.int32) if labels else None
        parts[name] = Split(name, x, y, mask)
    return parts, {"vocab": vocab} | ({"classes": classes} if classes else {})


_BUILDERS: dict[str, Callable[[Entry, Contents], Parts]] = {
    "mnist-mini": _mini,
    "mnist-static": _static,
    "omniglot": _omniglot,
    "frey-faces": _frey,
    "olivetti": _olivetti,
    "congress-faces": _congress,
    "cifar10-jpeg-subset": _cifar,
}
