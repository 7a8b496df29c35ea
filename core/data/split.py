"""The parts of a data set, and the batches drawn from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.data.files import DataError
from backhand.data.scenes import Scene
from backhand.model import Batch
from backhand.noise import Noise, order
from backhand.numerics import xp_of

SPLITS = ("train", "valid", "test")
TYPICAL = 1000  # scenes that initial values are made of
_ROWS = 2048  # binarised at a time, to bound the memory of the draws


@dataclass(frozen=True, eq=False)
class Split:
    """One part: x (N, ...), y (N, ...) labels, mask (N, T) of text, name "train", ...

    Datum numbers, the key of all noise, are the rows of the split.  pictures: x is uint8, to
    be divided by 255.  binarise: the data set's own seed where the grey values in x are to be
    binarised; anew: every time they are shown, rather than once.  scene: what batches make of
    x before that.
    """

    name: str
    x: Array
    y: Array | None = None
    mask: Array | None = None
    pictures: bool = False
    binarise: int | None = None
    anew: bool = False
    scene: Scene | None = None

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, index: Array | slice) -> Split:
        """The same split with some of its rows, which are numbered anew."""
        y = None if self.y is None else self.y[index]
        mask = None if self.mask is None else self.mask[index]
        return replace(self, x=self.x[index], y=y, mask=mask)

    def first(self, n: int) -> Split:
        """The first n rows, or all if there are fewer."""
        if n < 1:
            raise DataError(f"at least 1 of the {self.name} data is needed, got {n}")
        return self.rows(slice(0, n))

    def converted(self, dtype: Any) -> Split:
        """x in a model's dtype: pictures in [0, 1], binarised if that is to be done once.

        Token numbers stay as they are, and so does what was converted before.
        """
        if self.mask is not None and self.x.dtype.kind in "iu":
            return self
        with np.errstate(over="ignore"):
            x = self.x.astype(dtype, copy=False)
        if self.pictures:
            x /= 255
        elif x.dtype != self.x.dtype and not np.isfinite(x).all():
            raise DataError(f"x of {self.name} has values beyond the range of {np.dtype(dtype)}")
        if self.binarise is None or self.anew or self.scene is not None:
            return replace(self, x=x, pictures=False)
        x = binarised(x, np.arange(len(x)), Noise(self.binarise), SPLITS.index(self.name))
        return replace(self, x=x, pictures=False, binarise=None)


def batch_of(split: Split, index: Array, noise: Noise, xp: Any = np) -> Batch:
    """Rows ``index`` (B,) of a split; scenes and dynamic binarisation are drawn from ``noise``.

    xp: NumPy, or CuPy for a batch on the GPU; the split and ``index`` are on the host.
    """
    number = SPLITS.index(split.name)
    batch = _batch(split, index, index, xp)
    if split.scene is not None:
        batch = batch._replace(x=xp.asarray(split.scene(split.x[index], index, noise, number)))
    if split.binarise is None:
        return batch
    return batch._replace(x=binarised(batch.x, batch.index, noise, number))


def batches(split: Split, batch: int, xp: Any = np) -> Iterator[Batch]:
    """All rows in order, for evaluation; drawn by the data set's own seed, never the run's.

    xp: as in ``batch_of``.
    """
    _positive(batch=batch)
    seed = split.binarise if split.scene is None else split.scene.seed
    for first in range(0, len(split), batch):
        rows = slice(first, min(first + batch, len(split)))
        index = np.arange(rows.start, rows.stop)
        if seed is None:
            yield _batch(split, rows, index, xp)
        else:
            yield batch_of(split, index, Noise(seed), xp)


def typical(split: Split) -> Array:
    """What initial values are made of, (n, *shape): x; of scenes, those of the first thousand."""
    if split.scene is None:
        return split.x
    first = replace(split.first(TYPICAL), binarise=None)
    return next(batches(first, TYPICAL)).x


def _batch(split: Split, rows: Any, index: Array, xp: Any) -> Batch:
    y = None if split.y is None else xp.asarray(split.y[rows])
    mask = None if split.mask is None else xp.asarray(split.mask[rows])
    return Batch(xp.asarray(split.x[rows]), xp.asarray(index), y, mask)


def binarised(x: Array, index: Array, noise: Noise, split_number: int) -> Array:
    """x_b = 1 where a uniform draw is below x, else 0; x (B, ...) in [0, 1], float.

    split_number: 0 train, 1 valid, 2 test.  Compared in float32 whatever the dtype of x, so
    that models of all dtypes see the same pictures.
    """
    if x.dtype.kind != "f":
        raise DataError(
            f"binarised: x must be float in [0, 1], got {x.dtype}; use Data.converted(dtype)"
        )
    out: Array = xp_of(x).empty_like(x)
    for first in range(0, len(x), _ROWS):
        rows = slice(first, first + _ROWS)
        p = x[rows].astype(np.float32, copy=False)
        out[rows] = noise.bernoulli("binarise", index[rows], p, layer=split_number)
    return out


def minibatches(n: int, batch: int, seed: int, epoch: int) -> Iterator[Array]:
    """The datum numbers (B,) of each minibatch of an epoch; the last may be smaller."""
    steps = steps_per_epoch(n, batch)
    for step in range(steps):
        yield batch_at(n, batch, seed, (epoch - 1) * steps + step + 1)[1]


def batch_at(n: int, batch: int, seed: int, step: int) -> tuple[int, Array]:
    """Epoch and datum numbers (B,) of a training step; both count from 1."""
    _positive(step=step)
    epoch, position = divmod(step - 1, steps_per_epoch(n, batch))
    index = _order(seed, epoch + 1, n)[position * batch : (position + 1) * batch]
    return epoch + 1, index


def steps_per_epoch(n: int, batch: int) -> int:
    """How many minibatches show each of n data once."""
    _positive(n=n, batch=batch)
    return -(-n // batch)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n: int) -> Array:
    permutation = order(seed, epoch, n)
    permutation.flags.writeable = False
    return permutation


def _positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
