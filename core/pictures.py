"""Pictures: grids of images, png files, training curves."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.checkpoint import replacing

_GAP_GREY = 128


def grid(images: Array, columns: int | None = None, scale: int = 2, gap: int = 2) -> Array:
    """Images side by side, row by row: a (H', W') or (H', W', 3) uint8 array.

    images: (n, H, W) grey or (n, H, W, 3) colour, values in [0, 1], clipped to it.
    columns: None: about as many as rows.  scale: pixels for each pixel.  gap: pixels between.
    """
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise ValueError(
            f"grid: images must have shape (n, H, W) or (n, H, W, 3), got {images.shape}; "
            "save data that are not pictures as .npz"
        )
    n, height, width = images.shape[:3]
    columns = math.ceil(math.sqrt(n)) if columns is None else columns
    if min(n, columns, scale) < 1 or gap < 0:
        raise ValueError(
            f"grid: needs an image, columns and scale of at least 1 and gap of at least 0, "
            f"got {n} images, {columns=}, {scale=}, {gap=}"
        )
    if not np.isfinite(images).all():
        raise ValueError("grid: images hold values that are not finite")
    rows = -(-n // columns)
    height, width = height * scale, width * scale
    size = (rows * (height + gap) + gap, columns * (width + gap) + gap)
    out = np.full(size + images.shape[3:], _GAP_GREY, np.uint8)
    pixels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    for i, image in enumerate(pixels.repeat(scale, 1).repeat(scale, 2)):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        out[top : top + height, left : left + width] = image
    return out


def save_png(path: str | os.PathLike[str], array: Array) -> None:
    """Write a uint8 array as ``.png``; any array as ``.npy`` or ``.npz`` (named ``images``).

    Written beside and renamed, so that a file is whole or not there.
    """
    target = Path(path)
    if target.suffix not in (".png", ".npy", ".npz"):
        raise ValueError(f"{target}: the name must end in .png, .npy or .npz")
    if target.suffix == ".png" and array.dtype != np.uint8:
        raise ValueError(f"{target}: a png needs a uint8 array (see grid), got {array.dtype}")
    image = pillow().fromarray(array) if target.suffix == ".png" else None
    with replacing(target) as file:
        if image is not None:
            image.save(file, format="PNG")
        elif target.suffix == ".npy":
            np.save(file, array, allow_pickle=False)
        else:
            np.savez(file, images=array)


def curve(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Plot training and validation nats by epoch, from the rows of metrics.jsonl.

    Rows without an epoch are left out; path ends in .png, .svg or .pdf.
    """
    target, figure = _figure(path, (6, 4))
    axes = figure.subplots()
    for name in ("train", "valid"):
        points = [(row["epoch"], row[name]["nats"]) for row in rows if row.get(name)]
        if points:
            axes.plot(
                *zip(*points, strict=True), label=name, marker="." if len(points) < 50 else ""
            )
    best = [(row["epoch"], row["valid"]["nats"]) for row in rows if row.get("best")]
    if best:
        axes.plot(*best[-1], "o", fillstyle="none", color="black", label="best")
    axes.set_xlabel("epoch")
    axes.set_ylabel("negative bound, nats per example")
    if axes.has_data():
        axes.legend()
    _save(target, figure)


def bounds_figure(path: str | os.PathLike[str], gains: Sequence[Any]) -> None:
    """A panel for each kind of data: what each bound gains on the ELBO, and two errors.

    gains: of ``backhand.bounds.compare``.  L_k by k; what has no such k, as a band.
    """
    kinds = list(dict.fromkeys(gain.data for gain in gains))
    target, figure = _figure(path, (5 * len(kinds), 4))
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        here = [gain for gain in gains if gain.data == kind and gain.bound != "elbo"]
        iwae = [gain for gain in here if gain.bound == "iwae"]
        ks, nats = [gain.k for gain in iwae], [gain.nats for gain in iwae]
        axes.errorbar(
            ks, nats, [2 * gain.stderr for gain in iwae], fmt="o-", capsize=3, label="$L_k$"
        )
        for i, gain in enumerate((gain for gain in here if gain.bound != "iwae"), 1):
            counted = f", k = {gain.k}" if gain.bound.startswith("semi") else ""
            upper = " (upper bound)" if gain.bound == "ais reverse" else ""
            axes.axhline(gain.nats, color=f"C{i}", label=gain.bound + counted + upper)
            low, high = (gain.nats + sign * 2 * gain.stderr for sign in (-1, 1))
            axes.axhspan(low, high, color=f"C{i}", alpha=0.2, linewidth=0)
        axes.set(xscale="log", xlabel="k", ylabel="nats above the ELBO", title=f"{kind} data")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    _save(target, figure)


def _figure(path: str | os.PathLike[str], size: tuple[float, float]) -> tuple[Path, Any]:
    target = Path(path)
    if target.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"{target}: the name must end in .png, .svg or .pdf")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise _absent("matplotlib", "drawing curves") from None
    return target, Figure(figsize=size, layout="constrained")


def _save(target: Path, figure: Any) -> None:
    with replacing(target) as file:
        figure.savefig(file, format=target.suffix[1:], dpi=120)


def pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError:
        raise _absent("pillow", "writing pictures") from None
    return Image


def _absent(package: str, purpose: str) -> ImportError:
    return ImportError(f"{purpose} needs {package}: pip install 'backhand[app]'")
