"""Every gradient of a subject against its independent derivative: the receipts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from backhand._types import Array, Shape
from backhand.checking.contract import violations
from backhand.checking.diagnose import guess, sizes_of
from backhand.checking.draws import Draws
from backhand.checking.numeric import ROUNDING, Along, NotAnalytic, Numeric
from backhand.checking.receipt import CENTRAL, COMPLEX_STEP, CONTRACT, TOLERANCES, Receipt
from backhand.checking.subject import BrokenContract, Subject, gradients
from backhand.threads import blas_threads

DIRECTIONS = 3
COORDINATES = 32  # of each array are compared one by one
FULL = 5000  # entries up to which a wrong gradient is computed in full, for the diagnosis
ABOUT_ZERO = {COMPLEX_STEP: 1e-10, CENTRAL: 1e-8}
ABOUT_ZERO_REASON = (
    "about zero: nothing certified.  Take another input or cotangent (a normalised output has "
    "none under all ones, a saturated one none at all), or see whether it is used; wrt= leaves "
    "it out"
)


class Outcome(NamedTuple):
    """shared: the part of ``error`` that central differences could find as well."""

    method: str
    error: float
    shared: float
    zero: bool
    along: Along


def compare(subject: Subject, seed: int, tolerance: float | None) -> list[Receipt]:
    """One receipt per checked array, after one for each broken rule of the contract."""
    with blas_threads(1):  # many small products: more threads are slower, and sum in other orders
        return _compare(subject, seed, tolerance)


def _compare(subject: Subject, seed: int, tolerance: float | None) -> list[Receipt]:
    draws = Draws(seed)
    cotangents: list[Array] = []
    try:
        shapes = [y.shape for y in subject.run(subject.values).outputs]
        cotangents, others = draws.like(shapes), draws.like(shapes)
        broken = violations(subject, cotangents, others)
        found = gradients(subject, subject.run(subject.values), cotangents, subject.twin())
    except BrokenContract as error:
        return [_refusal(subject, "backward", str(error))]
    checks = [_check(subject, i, found[i], cotangents, draws, tolerance) for i in subject.checked]
    # What is about zero is rounding, of which no rule holds.
    zero = {r.wrt for r in checks if r is not None and r.reason == ABOUT_ZERO_REASON}
    receipts = [_refusal(subject, wrt, reason) for wrt, reason in broken if wrt not in zero]
    receipts += [receipt for receipt in checks if receipt is not None]
    if not receipts:
        raise ValueError(f"{subject.name}: nothing to check, every array is empty")
    return receipts


def _refusal(subject: Subject, wrt: str, reason: str) -> Receipt:
    return Receipt(subject.name, subject.kind, wrt, CONTRACT, np.nan, 0.0, False, reason)


def _check(
    subject: Subject, i: int, a: Array | None, cotangents: list[Array], draws: Draws,
    tolerance: float | None,
) -> Receipt | None:  # fmt: skip
    wrt, x = subject.names[i], subject.values[i]
    if a is None:
        reason = "the backward returns no gradient for it; where it is data, wrt= leaves it out"
        return _refusal(subject, wrt, reason)
    if a.shape != x.shape:
        turned = "; transposed" if a.shape == x.shape[::-1] else ""
        return _refusal(subject, wrt, f"its gradient has shape {a.shape}, it has {x.shape}{turned}")
    if not np.isfinite(a).all():
        at = tuple(int(k) for k in np.argwhere(~np.isfinite(a))[0])
        return _refusal(subject, wrt, f"the backward gives {a[at]} at {wrt}{list(at)}")
    if not x.size:
        return None
    weights = np.concatenate([d.reshape(-1) for d in cotangents])
    numeric = Numeric(subject, i, weights)
    allowed = {
        m: TOLERANCES[subject.kind, m] if tolerance is None else tolerance
        for m in (COMPLEX_STEP, CENTRAL)
    }
    directions = _directions(a, draws)
    entries = _entries(a, draws)
    outcome, why = _outcome(numeric, a, directions, entries, allowed)
    limit = allowed[outcome.method]
    ok = not outcome.zero and outcome.error <= limit
    if outcome.zero and abs(float((a * directions[0]).sum())) <= 1e-6 * _scale(numeric):
        why, outcome = ABOUT_ZERO_REASON, outcome._replace(error=np.nan)
    elif not ok:
        found = _explain(subject, numeric, outcome, a, cotangents, entries, limit)
        why = f"{found}  ({why})" if why else found
    return Receipt(
        subject.name, subject.kind, wrt, outcome.method, float(outcome.error), limit, ok, why
    )


def _outcome(
    numeric: Numeric, a: Array, directions: list[Array], entries: list[int],
    allowed: dict[str, float],
) -> tuple[Outcome, str]:  # fmt: skip
    """By complex step where that applies, else by central differences and why."""
    changes: list[Array] = []
    try:
        try:
            changes = [numeric.complex_step(v) for v in directions]
        except Exception as error:  # whatever the code raises on complex numbers
            text = str(error).partition("\n")[0]
            raise NotAnalytic(f"complex step raised {type(error).__name__}: {text}") from error
        for v, change in zip(directions, changes, strict=True):
            numeric.verify_analytic(v, change)
        numeric.verify_closely(directions[0], changes[0])
        by_step = _measure(numeric, COMPLEX_STEP, numeric.complex_step, a, directions, entries)
        if by_step.shared <= allowed[CENTRAL]:
            return by_step, ""
        # So large an error central differences can judge as well: do they side with the backward?
        second = _measure(numeric, CENTRAL, numeric.central, a, directions, entries)
        if second.error <= allowed[CENTRAL]:
            return second, "central differences contradict complex step: not analytic here"
        return by_step, ""
    except NotAnalytic as reason:
        why = str(reason)
        pairs = [
            (float((a * v).sum()), float(numeric.weights @ change))
            for v, change in zip(directions, changes, strict=False)
        ]
        if pairs and all(_relative(*pair) <= allowed[COMPLEX_STEP] for pair in pairs):
            why += ", but complex step sides with the backward: a kink at these very values?"
        return _measure(numeric, CENTRAL, numeric.central, a, directions, entries), why


def _measure(
    numeric: Numeric, method: str, along: Along, a: Array, directions: list[Array],
    entries: list[int],
) -> Outcome:  # fmt: skip
    """The largest relative error, of a direction by its own size, of entries see _entry_errors."""
    errors = [0.0]
    zeros = []
    for v in directions:
        change = along(v)
        zeros.append(numeric.about_zero(change, ABOUT_ZERO[method]))
        errors.append(_relative(float((a * v).sum()), float(numeric.weights @ change)))
    right = _rights(numeric, along, a.shape, entries)
    by_largest, by_own = _entry_errors(method, a.reshape(-1)[entries], right)
    shared = np.max([*errors, *by_largest])  # NaN, if there is one
    error = np.maximum(shared, by_own.max())
    return Outcome(method, float(error), float(shared), all(zeros), along)


class Rights(NamedTuple):
    """Of some entries: the right values, the sizes of their terms, their rounding, (n,) each."""

    values: Array
    terms: Array
    rounding: Array


def _rights(numeric: Numeric, along: Along, shape: Shape, entries: list[int]) -> Rights:
    found = [numeric.entry(along, _unit(shape, e)) for e in entries]
    return Rights(*(np.array(column) for column in zip(*found, strict=True)))


def _entry_errors(method: str, wrong: Array, right: Rights) -> Array:
    """Errors of entries relative to the largest right one, and to their own terms; (2, n).

    An entry's terms are w * dy/dx of each output.  Complex step subtracts nothing, so that
    entries which are small beside others are compared as well, less what rounding may leave of
    the largest entry and of the outputs (a slope 1 - y * y near 0).
    """
    off = np.abs(wrong - right.values)
    largest = np.abs(right.values).max()
    own = np.zeros_like(off)
    if method == COMPLEX_STEP:
        beyond = np.maximum(0, off - right.rounding - ROUNDING * largest)
        own = _ratio(beyond, right.terms)
    return np.stack([_ratio(off, largest), own])


def _ratio(off: Array, size: Array) -> Array:
    """off / size; 0 where nothing is off."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(off == 0, 0.0, off / size)


def _relative(a: float, b: float) -> float:
    return abs(a - b) / max(abs(a), abs(b)) if a != b else 0.0


def _directions(a: Array, draws: Draws) -> list[Array]:
    """Random directions; one along which the terms of a . v happen to cancel is drawn anew."""
    kept: list[Array] = []
    while len(kept) < DIRECTIONS:
        v = draws.normal(*a.shape)
        terms = a * v
        if a.size == 1 or abs(terms.sum()) >= 0.1 * np.sqrt((terms * terms).sum()):
            kept.append(v)
    return kept


def _entries(a: Array, draws: Draws) -> list[int]:
    """Flat indices to be compared one by one: all, or the largest of ``a`` and a random few."""
    if a.size <= COORDINATES:
        return list(range(a.size))
    order = np.argsort(draws.normal(a.size))[: COORDINATES - 1]
    return sorted({int(np.abs(a).argmax()), *map(int, order)})


def _unit(shape: Shape, entry: int) -> Array:
    e = np.zeros(shape)
    e.reshape(-1)[entry] = 1
    return e


def _scale(numeric: Numeric) -> float:
    return float(np.abs(numeric.weights * numeric.y).sum())


def _explain(
    subject: Subject, numeric: Numeric, outcome: Outcome, a: Array, cotangents: list[Array],
    entries: list[int], limit: float,
) -> str:  # fmt: skip
    """The worst entry, both values, and a guess."""
    wrt = subject.names[numeric.i]
    along = outcome.along
    whole = a.size <= FULL
    looked = list(range(a.size)) if whole else [*entries, _locate(numeric, along, a)]
    rights, wrong = _rights(numeric, along, a.shape, looked), a.reshape(-1)[looked]
    right, errors = rights.values, _entry_errors(outcome.method, wrong, rights)
    # Where the large entries are right and small ones are not, the worst is among those.
    worst = int(errors[int(errors[0].max() <= limit < errors[1].max())].argmax())
    at = [int(k) for k in np.unravel_index(looked[worst], a.shape)]
    shapes = [(name, v.shape) for name, v in zip(subject.names, subject.values, strict=True)]
    shapes += [(f"output {n}", d.shape) for n, d in enumerate(cotangents)]
    if whole:
        wrong, right = wrong.reshape(a.shape), right.reshape(a.shape)
    if outcome.method == CENTRAL and not numeric.doubt <= limit:
        return (
            f"undecided: central differences settle to {numeric.doubt:.1e} only, as near a kink or "
            f"a pole; the backward differs by {outcome.error:.1e}.  Take another input"
        )
    cause = _under_ones(subject, numeric, cotangents, outcome) or guess(
        wrong, right, sizes_of(shapes), numeric.i >= subject.inputs
    )
    return (
        f"wrong; worst at {wrt}{at}: the backward gives {wrong.reshape(-1)[worst]:.10g}, "
        f"{outcome.method} {right.reshape(-1)[worst]:.10g} "
        f"(relative error {outcome.error:.1e}, allowed {limit:.0e}).  Guess: {cause}"
    )


def _locate(numeric: Numeric, along: Along, a: Array) -> int:
    """The flat index of a wrong entry of a large array, by halving."""
    low, high = 0, a.size
    v = np.abs(Draws(1).normal(a.size)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        off = []
        for start, stop in ((low, middle), (middle, high)):
            part = np.zeros(a.shape)
            part.reshape(-1)[start:stop] = v[start:stop]
            off.append(abs(float((a * part).sum() - numeric.weights @ along(part))))
        low, high = (low, middle) if off[0] >= off[1] else (middle, high)
    return low


def _under_ones(
    subject: Subject, numeric: Numeric, cotangents: list[Array], outcome: Outcome
) -> str:
    """Words for a backward that is right under all ones alone, or nothing."""
    ones = [np.ones_like(d) for d in cotangents]
    a = gradients(subject, subject.run(subject.values), ones, subject.twin())[numeric.i]
    v = Draws(2).normal(*numeric.x.shape)
    change = outcome.along(v)
    assert a is not None  # it was returned under the random cotangents
    error = _relative(float((a * v).sum()), float(change.sum()))
    if error > 1e-3 * outcome.error or not change.sum():
        return ""
    return "it is right when the cotangent is all ones: dy is left out, or summed, on the way"
