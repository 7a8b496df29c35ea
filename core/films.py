"""Pictures of a model that draws step by step: animations, contact sheets, windows, KL bars.

The read window is blue, the write window orange; a bar is the KL of one step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from backhand._types import Array
from backhand.models.drawing import Film

READ, WRITE = (86, 180, 233), (230, 100, 0)
BAR, NOW = (150, 150, 150), (0, 0, 0)
GREY, GAP = 128, 2
BARS = 24  # pixels that the highest bar has


def outline(picture: Array, head: Array, colour: tuple[int, int, int], scale: int) -> Array:
    """A copy of a picture with an attention window drawn on it.

    picture: (H*scale, W*scale, 3) uint8; head: (5,) as ``filterbank`` takes it.  The line runs
    through the centres of the outermost filters; it is as wide as the filters, sigma, within
    a pixel of the screen and one of the picture.
    """
    picture = picture.copy()
    height, width = picture.shape[0] // scale, picture.shape[1] // scale
    gx, gy, log_s2, log_d, _ = head.astype(np.float64)
    thick = min(max(math.exp(log_s2 / 2) * scale / 2, 1), scale)
    reach = (max(height, width) - 1) / 2 * math.exp(log_d)  # from the centre to the last filter
    edges = []
    for g, size in ((gy, height), (gx, width)):
        centre = (size + 1) / 2 * (g + 1) - 0.5  # in pixels from the border
        lines = [
            [end - thick / scale / 2, end + thick / scale / 2]
            for end in (centre - reach, centre + reach)
        ]
        edges.append(np.floor(np.clip(lines, -1, size + 1) * scale + 0.5).astype(int).clip(0))
    (top, bottom), (left, right) = edges
    rows, columns = slice(top[0], bottom[1]), slice(left[0], right[1])
    for line in (top, bottom):
        picture[slice(*line), columns] = colour
    for line in (left, right):
        picture[rows, slice(*line)] = colour
    return picture


def bars(kl: Array, highest: float, width: int, now: int | None = None) -> Array:
    """The KL of each step as bars, (BARS, width, 3) uint8.

    kl: (T,) in nats; highest: what fills the height; now: the step shown in black.  A picture
    of W pixels has room for W steps; more are not told apart.
    """
    out = np.full((BARS, width, 3), 255, np.uint8)
    edges = np.rint(np.linspace(0, width, len(kl) + 1)).astype(int)
    for t, (left, right) in enumerate(pairwise(edges)):
        height = round(BARS * float(np.clip(kl[t] / highest, 0, 1))) if highest > 0 else 0
        gap = 1 if right - left > 2 else 0
        out[BARS - max(1, height) :, left : right - gap] = NOW if t == now else BAR
    return out


def animation(film: Film, x: Array | None = None, scale: int = 4) -> Array:
    """A frame for each glimpse, (T, H', W', 3) uint8: all pictures side by side.

    x (n, *shape): what was looked at, shown left of its canvas with the read window on it.
    """
    T, n = len(film.canvas) - 1, film.canvas.shape[1]
    columns = math.ceil(math.sqrt(n if x is None else n / 2))

    def tile(t: int, i: int) -> Array:
        seen = [] if x is None else [_looked_at(film, x, t, i, scale)]
        tile = _beside([*seen, _painted(film, t, i, scale)])
        if film.kl is not None:
            below = bars(film.kl[:, i], float(film.kl.max()), tile.shape[1], t)
            tile = np.concatenate([tile, below])
        return tile

    def frame(t: int) -> Array:
        tiles = [tile(t, i) for i in range(n)]
        tiles += [np.full_like(tiles[0], GREY)] * (-n % columns)
        rows = [_beside(tiles[i : i + columns]) for i in range(0, n, columns)]
        return _framed(rows)

    return np.stack([frame(t) for t in range(T)])


def contact_sheet(film: Film, x: Array | None = None, scale: int = 2) -> Array:
    """All steps in one picture, (H', W', 3) uint8: a line for each picture, from left to right.

    x (n, *shape): what was looked at; it stands above the canvas, with the read windows.
    """
    T, n = len(film.canvas) - 1, film.canvas.shape[1]
    lines = []
    for i in range(n):
        if x is not None:
            lines.append(_beside([_looked_at(film, x, t, i, scale) for t in range(T)]))
        lines.append(_beside([_painted(film, t, i, scale) for t in range(T)]))
        if film.kl is not None:
            lines.append(bars(film.kl[:, i], float(film.kl.max()), lines[-1].shape[1]))
    return _framed(lines)


def _painted(film: Film, t: int, i: int, scale: int) -> Array:
    """The canvas after step t, with the window through which it was painted."""
    picture = enlarged(film.canvas[t + 1, i], scale)
    return picture if film.write is None else outline(picture, film.write[t, i], WRITE, scale)


def _looked_at(film: Film, x: Array, t: int, i: int, scale: int) -> Array:
    """The datum at step t, with the window through which it was read."""
    picture = enlarged(x[i], scale)
    return picture if film.read is None else outline(picture, film.read[t, i], READ, scale)


def enlarged(picture: Array, scale: int) -> Array:
    """(H, W), (H, W, 1) or (H, W, 3) in [0, 1] as (H*scale, W*scale, 3) uint8."""
    if picture.ndim == 2:
        picture = picture[:, :, None]
    if picture.ndim != 3 or picture.shape[2] not in (1, 3):
        raise ValueError(f"pictures have one or three channels, got shape {picture.shape}")
    if not np.isfinite(picture).all():
        raise ValueError("pictures hold values that are not finite")
    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8).repeat(scale, 0)
    return pixels.repeat(scale, 1).repeat(3 // picture.shape[2], 2)  # type: ignore[no-any-return]


def _beside(tiles: Sequence[Array]) -> Array:
    """Tiles of one height from left to right, GAP apart."""
    gap = np.full((len(tiles[0]), GAP, 3), GREY, np.uint8)
    return np.concatenate([piece for tile in tiles for piece in (gap, tile)][1:], axis=1)


def _framed(lines: Sequence[Array]) -> Array:
    """Lines of one width from the top down, GAP apart and around."""
    gap = np.full((GAP, lines[0].shape[1], 3), GREY, np.uint8)
    body = np.concatenate([gap, *(piece for line in lines for piece in (line, gap))])
    return np.pad(body, ((0, 0), (GAP, GAP), (0, 0)), constant_values=GREY)
