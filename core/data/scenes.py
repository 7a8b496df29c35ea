"""Scenes made of small pictures, as DRAW was shown: two digits, or a digit among clutter.

two-digits  60 x 60: the datum and another picture of its part, each anywhere
cluttered   100 x 100: the datum anywhere, and 8 cuts of 8 x 8 from training pictures, each anywhere

Where things overlap they are added, to 1 at most.  Places are uniform over all that leave a thing
whole.  Training scenes are made anew whenever they are shown; those of the other parts are fixed
by the data set's seed.  (Gregor et al. 2015, sections 4.1 and 4.3; Mnih et al. 2014.  The numbers
of the clutter are ours: an error rate on it is not exactly comparable.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.data.files import DataError
from backhand.noise import Noise

SIDES = {"two-digits": 60, "cluttered": 100}
CUTS, CUT = 8, 8  # how many, and their side


@dataclass(frozen=True, eq=False)
class Scene:
    """kind: one of SIDES; seed: the data set's own.

    others (M, H, W): what is added to a datum; uint8 is divided by 255.
    """

    kind: str
    seed: int
    others: Array

    def __post_init__(self) -> None:
        if self.kind not in SIDES:
            raise DataError(f"scene must be one of {', '.join(SIDES)}, got {self.kind!r}")
        shape = self.others.shape[1:]
        if len(shape) != 2 or not CUT <= min(shape) <= max(shape) <= self.side:
            raise DataError(
                f"scene {self.kind} needs grey pictures, from {CUT} x {CUT} to "
                f"{self.side} x {self.side}; these data have shape {tuple(shape)}"
            )

    @property
    def side(self) -> int:
        return SIDES[self.kind]

    def __call__(self, x: Array, index: Array, noise: Noise, split_number: int) -> Array:
        """Data x (B, H, W) in [0, 1] as scenes (B, side, side); ``noise`` and ``index`` decide."""
        things = 1 if self.kind == "two-digits" else CUTS
        u = noise.uniform("scene", index, (1 + things, 5), layer=split_number, dtype=np.float64)
        out = np.zeros((len(x), self.side, self.side), x.dtype)
        for scene, datum, draws in zip(out, x, u, strict=True):
            self._add(scene, datum, draws[0])
            for draw in draws[1:]:
                thing = self.others[_whole(draw[2], len(self.others))]
                if self.kind == "cluttered":
                    top, left = (
                        _whole(v, size - CUT + 1)
                        for v, size in zip(draw[3:], thing.shape, strict=True)
                    )
                    thing = thing[top : top + CUT, left : left + CUT]
                scale = 255 if thing.dtype == np.uint8 else 1
                self._add(scene, np.divide(thing, scale, dtype=x.dtype), draw)
        return np.minimum(out, 1, out=out)

    def _add(self, scene: Array, thing: Array, draw: Array) -> None:
        """Put it anywhere: draw[:2] says where."""
        height, width = thing.shape
        top, left = _whole(draw[0], self.side - height + 1), _whole(draw[1], self.side - width + 1)
        scene[top : top + height, left : left + width] += thing


def _whole(u: Any, n: int) -> int:
    """A uniform u in (0, 1) as one of 0 .. n-1."""
    return int(u * n)
