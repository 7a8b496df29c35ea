"""What a wrong gradient looks like: a guess at the mistake, from the right one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backhand._types import Array, Shape

Size = tuple[int, str]  # a size, and what it is the size of


def sizes_of(arrays: Sequence[tuple[str, Shape]]) -> list[Size]:
    """Sizes that a forgotten mean or sum can bring in: axes, and their products."""
    found: dict[int, str] = {}
    for name, shape in arrays:
        for axis, n in enumerate(shape):
            found.setdefault(n, f"axis {axis} of {name}")
    for name, shape in arrays:
        if len(shape) > 1:
            found.setdefault(int(np.prod(shape[:-1])), f"the number of rows of {name}")
            found.setdefault(int(np.prod(shape)), f"the number of values in {name}")
    return [(n, label) for n, label in found.items() if n > 1]


def guess(wrong: Array, right: Array, sizes: Sequence[Size], parameter: bool) -> str:
    """One sentence on how ``wrong`` may have come about."""
    if not wrong.any():
        where = "no gradient reaches it" if parameter else "the backward returns zeros"
        return f"missing: {where}, while it has one"
    whole = _factor(wrong, right, sizes)
    if whole:
        return whole
    if right.ndim == 2 and right.shape[0] == right.shape[1]:
        if _same(wrong, right.T, wrong - right):
            return "transposed: it equals the right gradient's transpose"
        turned = _factor(wrong, right.T, sizes)
        if turned:
            return f"transposed, and {turned}"
    return _concentrated(wrong, right, sizes) or (
        "a missing or an extra term: the error is spread over the array and proportional to "
        "nothing in it; a value used twice has two gradients to be added"
    )


def _same(a: Array, b: Array, deviation: Array) -> bool:
    """a = b up to a thousandth of the error that is to be explained."""
    return bool(np.abs(a - b).max() <= 1e-3 * np.abs(deviation).max())


def _factor(wrong: Array, right: Array, sizes: Sequence[Size]) -> str:
    """Words for wrong = r * right, or nothing."""
    norm = float((right * right).sum())
    if norm == 0 or wrong.size < 2:
        return _single(wrong, right, sizes)
    r = float((wrong * right).sum()) / norm
    if r == 0 or not _same(wrong, r * right, wrong - right):
        return ""
    return f"off by a factor of {_number(r)} throughout{_meaning(r, sizes)}"


def _single(wrong: Array, right: Array, sizes: Sequence[Size]) -> str:
    if wrong.size != 1 or not right.any():
        return ""
    r = float(wrong.reshape(-1)[0] / right.reshape(-1)[0])
    meaning = _meaning(r, sizes)
    return f"off by a factor of {_number(r)}{meaning}" if meaning else ""


def _number(r: float) -> str:
    for n in range(2, 10_001):
        if abs(abs(r) * n - 1) < 1e-6:
            return f"{'-' if r < 0 else ''}1/{n}"
    return f"{r:.10g}" if abs(r - 1) < 1e-3 else f"{r:.6g}"


def _meaning(r: float, sizes: Sequence[Size]) -> str:
    causes = []
    size = abs(r)
    if _close(size, 2):
        causes.append("accumulated twice, or a forgotten 1/2")
    if _close(size, 0.5):
        causes.append("a forgotten 2, or one of two equal terms missing")
    for n, label in sizes:
        if _close(size, n):
            causes.append(f"{n} is {label}: a sum where a mean belongs")
        elif _close(size, 1 / n):
            causes.append(f"{n} is {label}: a mean where a sum belongs")
    if r < 0:
        causes.insert(0, "the sign")
    return f" ({'; '.join(causes)})" if causes else ""


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-6 * abs(b)


def _concentrated(wrong: Array, right: Array, sizes: Sequence[Size]) -> str:
    """Words for an error that keeps to some indices of one axis, or nothing."""
    error = np.abs(wrong - right)
    bad = error > 1e-3 * error.max()
    for axis in range(right.ndim):
        others = tuple(a for a in range(right.ndim) if a != axis)
        where = np.flatnonzero(bad.any(axis=others))
        n = right.shape[axis]
        if n > 1 and len(where) <= n // 2:
            part = np.take(wrong, where, axis), np.take(right, where, axis)
            how = "zero there" if not part[0].any() else _factor(*part, sizes)
            shown = ", ".join(map(str, where[:8])) + (", ..." if len(where) > 8 else "")
            place = f"{'index' if len(where) == 1 else 'indices'} {shown} of axis {axis} (of {n})"
            return f"wrong only at {place}" + (f": {how}" if how else "") + ", right elsewhere"
    return ""
