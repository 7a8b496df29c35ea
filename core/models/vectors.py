"""Data that are vectors or pictures, as models see them: rows, standardised where they are real."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from backhand._types import Array
from backhand.columns import moments
from backhand.device import check_place
from backhand.model import Batch, DataSpec
from backhand.models.outputs import OutputConfig
from backhand.noise import Noise
from backhand.numerics import xp_of
from backhand.params import Packed, constant

CHUNK = 1 << 20  # values of the largest array while log weights are computed


@dataclass
class Scaling:
    """Columns of x (N, D): (x - shift) / scale.  A constant column keeps scale 1."""

    shift: Array = constant()  # (D,)
    scale: Array = constant()  # (D,)

    @classmethod
    def fit(cls, x: Array | None, size: int, dtype: Any) -> Self:
        """From training data; without any, the identity, to be filled from a checkpoint."""
        if x is None:
            return cls(np.zeros(size, dtype), np.ones(size, dtype))
        mean, deviation = moments(x.reshape(len(x), size))
        std = deviation.astype(dtype)
        return cls(mean.astype(dtype), np.where(std > 0, std, std.dtype.type(1)))

    def __call__(self, x: Array) -> Array:
        return (x - self.shift) / self.scale

    def undo(self, y: Array) -> Array:
        return y * self.scale + self.shift

    def log_volume(self) -> Array:
        """log |det dx/dy|, to be subtracted from a log-density of y: it becomes one of x."""
        return xp_of(self.scale).log(self.scale).sum()  # type: ignore[no-any-return]


class OfVectors(Packed):
    """Base of models whose data are vectors or pictures, with ``encode`` and ``decode``."""

    spec: DataSpec
    scaling: Scaling | None

    def interpolate(self: Any, start: Batch, end: Batch, steps: int) -> Array:
        """Pictures on the straight line between posterior means, (steps, B, *shape)."""
        a, b = self.encode(start).mean, self.encode(end).mean  # (B, Z)
        path = [self.decode(a + (b - a) * (i / max(1, steps - 1))) for i in range(steps)]
        return xp_of(a).stack(path)  # type: ignore[no-any-return]

    def _rows(self, x: Array) -> Array:
        """The data as the networks see them: (B, D), standardised where they are real."""
        rows = rows_for(self, x)
        return self.scaling(rows) if self.scaling else rows

    def _log_volume(self) -> Array | float:
        """What turns a log-density of standardised data into one of the data themselves."""
        return self.scaling.log_volume() if self.scaling else 0.0

    def _shaped(self, y: Array) -> Array:
        return (self.scaling.undo(y) if self.scaling else y).reshape(len(y), *self.spec.shape)


def rows_for(model: Any, x: Array) -> Array:
    """Data x (B, *shape) as rows (B, D); raises ValueError unless ``model`` was made for them."""
    name, shape = type(model).__name__, tuple(model.spec.shape)
    if tuple(x.shape[1:]) != shape:
        raise ValueError(
            f"{name}: data must have shape (B, {', '.join(map(str, shape))}), "
            f"as the model was made for, got {x.shape}"
        )
    check_place(name, x, model.params.vector)
    return x.reshape(len(x), math.prod(shape))


def output_kind(model: str, config: OutputConfig, spec: DataSpec) -> str:
    """ "bernoulli" or "gaussian"."""
    if spec.kind == "text":
        raise ValueError(f"{model} takes vectors or pictures, not text")
    kind = str(config.output)
    if kind == "auto":
        kind = "bernoulli" if spec.kind == "binary" else "gaussian"
    if kind == "bernoulli" and spec.kind == "real":
        raise ValueError("output='bernoulli' needs data in [0, 1]; these are real-valued")
    defaults = {field.name: field.default for field in fields(config)}
    for name in ("variance", "std", "standardise"):
        if kind == "bernoulli" and getattr(config, name) != defaults[name]:
            raise ValueError(f"{name} has an effect only with output='gaussian'")
    return kind


def scaling_and_mean(
    kind: str, config: OutputConfig, x: Array | None, D: int, dtype: Any
) -> tuple[Scaling | None, Array]:
    """How real data are standardised, and the mean (D,) that the output starts from."""
    if kind == "gaussian" and config.standardise:
        return Scaling.fit(x, D, dtype), np.zeros(D)
    return None, np.zeros(D) if x is None else x.reshape(len(x), D).mean(axis=0)


def pieces(k: int, noise: Noise, values: int) -> Iterator[tuple[slice, Noise]]:
    """k samples of so many ``values`` each, part by part, so that no part is beyond CHUNK.

    Each part comes as where it stands among the k and the noise that continues there.
    """
    step = max(1, CHUNK // max(1, values))
    for first in range(0, k, step):
        yield slice(first, min(first + step, k)), noise._replace(first=noise.first + first)
