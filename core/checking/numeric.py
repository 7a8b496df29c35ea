"""Derivatives along a direction, of the reference in float64.

Complex step: f(x + i h v) has the imaginary part h f'(x) v, with no difference taken and so
no digits lost, where the code is analytic (Squire & Trapp, SIAM Review 1998).  Central
differences: extrapolated to step 0, the step chosen by the smallest estimated error
(Ridders, Advances in Engineering Software 1982).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.exceptions import ComplexWarning

from backhand._types import Array
from backhand.backend import use_backend
from backhand.checking.subject import Subject

IMAGINARY = 1e-20  # its square vanishes beside 1, itself stays far from underflow
COARSE = 1e-5  # step of a first look, times the root of the values' size
LEVELS = 16
AGREE = 1e-7  # of complex step and extrapolated differences, relative to an output's response
SETTLED = 1e-9  # where these differences need no smaller steps
DISAGREE = "complex step and central differences disagree: not analytic here"
ROUNDING = 8 * np.finfo(np.float64).eps

Along = Callable[[Array], Array]


class NotAnalytic(Exception):
    """Complex step does not apply; the text says why."""


class Numeric:
    """How the outputs change with value ``i``; the ``weights`` are the cotangents, flat."""

    def __init__(self, subject: Subject, i: int, weights: Array) -> None:
        self.subject = subject
        self.i = i
        self.weights = weights
        self.x = subject.values[i]
        self.y = self._outputs(self.x)
        self.reach = max(1.0, _rms(self.x))
        self._error = self._largest = 0.0  # of the central differences that were taken

    def complex_step(self, v: Array) -> Array:
        """d y / d t at x + t v, (outputs,)."""
        return self._outputs(self.x + 1j * IMAGINARY * v).imag / IMAGINARY

    def central(self, v: Array) -> Array:
        """The same by central differences, steps halved from 1/64 on, extrapolated."""
        best, error = np.zeros_like(self.y), np.inf
        row: list[Array] = []
        for level in range(LEVELS):
            t = self.reach * 2.0 ** (-6 - level)
            new = [self._difference(v, t)]
            for j, old in enumerate(row):
                new.append(new[j] + (new[j] - old) / (4.0 ** (j + 1) - 1))
                # Two neighbours in the table must agree with the entry they give.
                doubt = max(_size(new[-1] - new[j]), _size(new[-1] - old))
                if doubt < error:
                    best, error = new[-1], doubt
            row = new
            if error <= 1e-12 * _size(best):
                break
        self._error = max(self._error, error)
        self._largest = max(self._largest, _size(best))
        return best

    def _each(self, v: Array) -> tuple[Array, Array]:
        """The same for each output by steps of its own, and how far each may be off."""
        best, doubt = np.zeros_like(self.y), np.full(self.y.shape, np.inf)
        # A small output may have come from values of size one, as 1 - tanh does.
        least = min(1.0, float(np.abs(self.y).max()))
        row: list[Array] = []
        for level in range(LEVELS):
            t = self.reach * 2.0 ** (-6 - level)
            ahead, behind = self._outputs(self.x + t * v), self._outputs(self.x - t * v)
            size = np.maximum(np.maximum(np.abs(ahead), np.abs(behind)), least)
            new = [(ahead - behind) / (2 * t)]
            for j, old in enumerate(row):
                new.append(new[j] + (new[j] - old) / (4.0 ** (j + 1) - 1))
                off = np.maximum(np.abs(new[-1] - new[j]), np.abs(new[-1] - old))
                off += ROUNDING * size / t
                better = off < doubt
                best, doubt = np.where(better, new[-1], best), np.where(better, off, doubt)
            row = new
            if (doubt <= SETTLED * np.abs(best)).all():
                break
        return best, doubt

    @property
    def doubt(self) -> float:
        """How far central differences could not settle, relative to the largest."""
        return self._error / self._largest if self._largest else 0.0

    def verify_analytic(self, v: Array, change: Array) -> None:
        """Raise NotAnalytic unless a coarse difference agrees with the complex step along v."""
        if not np.isfinite(change).all():
            raise NotAnalytic("complex step gave values that are not finite")
        # Weighted so that no huge output hides the others behind its rounding.
        w = self.weights / np.maximum(1, np.abs(self.weights * self.y))
        coarse = self._difference(v, COARSE * self.reach**0.5)
        floor = 1e-10 * len(self.y) * max(1.0, _rms(v))
        if not _size(w * (change - coarse)) <= 1e-4 * _size(w * coarse) + floor:
            raise NotAnalytic(DISAGREE)

    def verify_closely(self, v: Array, change: Array) -> None:
        """The same by extrapolated differences, output by output, as closely as they settle.

        It is for terms that the complex form drops; they show from 1e-7 of a slope on.
        """
        slope, doubt = self._each(v)
        if not (np.abs(change - slope) <= AGREE * np.abs(slope) + 10 * doubt).all():
            raise NotAnalytic(DISAGREE)

    def about_zero(self, change: Array, threshold: float) -> bool:
        """True where the outputs hardly respond, or their responses cancel in the sum."""
        felt = np.abs(change) * self.reach
        if not np.any(felt > threshold * np.abs(self.y)):
            return True
        terms = self.weights * change
        return bool(abs(terms.sum()) <= threshold * _size(terms))

    def entry(self, along: Along, e: Array) -> tuple[float, float, float]:
        """Of one entry, e its unit vector: the derivative, the size of its terms, its rounding."""
        change = along(e)
        terms = self.weights * change
        felt = np.abs(self.weights * self.y)[change != 0]
        rounding = ROUNDING * float(felt.max(initial=0)) / self.reach
        return float(self.weights @ change), _size(terms), rounding

    def _difference(self, v: Array, t: float) -> Array:
        return (self._outputs(self.x + t * v) - self._outputs(self.x - t * v)) / (2 * t)

    def _outputs(self, x: Array) -> Array:
        """All outputs in one vector, from the reference."""
        values = [value.astype(x.dtype) for value in self.subject.values]
        values[self.i] = x
        with use_backend("numpy"), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", ComplexWarning)
            outputs = self.subject.run(values).outputs
        return np.concatenate([y.reshape(-1) for y in outputs])


def _rms(x: Array) -> float:
    return float(np.sqrt(np.mean(x * x))) if x.size else 0.0


def _size(x: Array) -> float:
    return float(np.abs(x).sum())
