"""The rules that every backward keeps, whatever it computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from backhand._types import Array
from backhand.checking.subject import Subject, gradients
from backhand.device import to_host
from backhand.grads import NO_GRAD

# Relative to the largest entry: what rounding leaves of an equality.
SAME, LINEAR = 1e-13, 1e-12

Violation = tuple[str, str]  # what it concerns, and what is wrong


def violations(subject: Subject, cotangents: list[Array], others: list[Array]) -> list[Violation]:
    """Every rule that the subject breaks; ``others`` are a second set of cotangents."""
    return list(_violations(subject, cotangents, others))


def _violations(
    subject: Subject, cotangents: list[Array], others: list[Array]
) -> Iterator[Violation]:
    names = subject.names
    run = subject.run(subject.values)
    given = list(zip(names, run.arrays, subject.values, strict=True))
    written = [name for name, array, before in given if not _equal(array, before)]
    for name in written:
        yield name, "the forward writes into it"
    for n, y in enumerate(run.outputs):
        if not np.isfinite(y).all():
            yield f"output {n}", f"the forward gives {_first_bad(y)}"

    seeds, g = [d.copy() for d in cotangents], subject.twin()
    first = _kept(gradients(subject, run, seeds, g))
    for name, array, before in given:
        if name not in written and not _equal(array, before):
            yield name, "the backward writes into it"
    if any(not _equal(d, before) for d, before in zip(seeds, cotangents, strict=True)):
        yield "cotangent", "the backward writes into it"

    again = _kept(gradients(subject, run, _copies(cotangents), subject.twin()))
    for name, (a, b) in _present(names, first, again):
        if not _near(a, b):
            twice = _near(2 * a, b)
            how = "twice as much: it keeps a sum between calls" if twice else "something else"
            yield name, f"a second call of the backward gives {how}"
    yield from _into_one_twin(subject, first, cotangents)

    if subject.inputs:
        alone = subject.run(subject.values).pull(_copies(cotangents), NO_GRAD)
        for name, (a, b) in _present(names, first, alone):
            if not _near(a, b):
                yield name, "the backward gives another gradient when g is NO_GRAD"
    yield from _not_linear(subject, first, cotangents, others)
    yield from _cast(subject, cotangents)


def _into_one_twin(
    subject: Subject, first: list[Array | None], cotangents: list[Array]
) -> Iterator[Violation]:
    """Two forwards, two backwards, one twin: the gradients must add up."""
    g = subject.twin()
    if g is NO_GRAD:
        return
    for _ in range(2):
        total = gradients(subject, subject.run(subject.values), _copies(cotangents), g)
    start = subject.inputs
    for name, (a, b) in _present(subject.names[start:], first[start:], total[start:]):
        if not _near(2 * a, b):
            yield name, "the backward does not add to g but overwrites it"


def _not_linear(
    subject: Subject, first: list[Array | None], cotangents: list[Array], others: list[Array]
) -> Iterator[Violation]:
    run = subject.run(subject.values)
    second = _kept(gradients(subject, run, _copies(others), subject.twin()))
    mixed = [2 * a - 3 * b for a, b in zip(cotangents, others, strict=True)]
    both = gradients(subject, run, mixed, subject.twin())
    for name, (a, b, c) in _present(subject.names, first, second, both):
        scale = float((2 * np.abs(a) + 3 * np.abs(b)).max(initial=0))
        error = float(np.abs(c - (2 * a - 3 * b)).max(initial=0))
        if error > LINEAR * scale:
            yield name, f"the backward is not linear in its cotangent ({error / scale:.1e})"


def _cast(subject: Subject, cotangents: list[Array]) -> Iterator[Violation]:
    """Gradients have the type of what they belong to; float32 is tried where that was given."""
    for dtype in {np.dtype(np.float64)} | (subject.dtypes if len(subject.dtypes) == 1 else set()):
        run = subject.run([v.astype(dtype) for v in subject.values])
        seeds = [d.astype(y.dtype) for d, y in zip(cotangents, run.outputs, strict=True)]
        for n, y in enumerate(run.outputs):
            if y.dtype != dtype:
                yield f"output {n}", f"is {y.dtype} where everything that goes in is {dtype}"
        found = run.pull(seeds, subject.twin(dtype))
        for i in subject.checked:
            d = found[i] if i < subject.inputs else None
            if d is not None and d.dtype != dtype:
                yield subject.names[i], f"its gradient is {d.dtype}, it is {dtype} itself"


def _kept(found: list[Array | None]) -> list[Array | None]:
    """Copies, as a backward may hand out the same buffer again."""
    return [None if d is None else d.copy() for d in found]


def _copies(arrays: Sequence[Array]) -> list[Array]:
    return [a.copy() for a in arrays]


def _equal(a: Array, b: Array) -> bool:
    return bool(np.array_equal(to_host(a), to_host(b), equal_nan=True))


def _near(a: Array, b: Array) -> bool:
    """Equal but for the order of a sum, which may change with where its array lies in memory."""
    return not a.size or bool(np.abs(a - b).max() <= SAME * np.abs(a).max())


def _present(
    names: Sequence[str], *found: Sequence[Array | None]
) -> Iterator[tuple[str, tuple[Array, ...]]]:
    """(name, its gradient in each list), where there is one in each, of one shape."""
    for name, *arrays in zip(names, *found, strict=False):
        there = tuple(a for a in arrays if a is not None)
        if len(there) == len(found) and len({a.shape for a in there}) == 1:
            yield name, there


def _first_bad(y: Array) -> str:
    at = tuple(int(k) for k in np.argwhere(~np.isfinite(y))[0])
    return f"{y[at]} at {list(at)}"
