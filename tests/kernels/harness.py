"""What every op must satisfy, on every backend that it has and in both precisions.

A ``Case`` names the op, how its inputs are made from sizes, and which it is differentiated by.
The cases are in ``cases/<op>.py``; ``test_every_op.py`` runs the checks below for all of them.
"""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from backhand.backend import backends
from backhand.device import to_device, to_host
from tests.kernels.layouts import LAYOUTS, laid_out
from tests.tolerances import BASELINE, COMPLEX_STEP, FLOAT32, FLOAT64, ROUNDED

STEP = 1e-30
ENTRIES = 60  # of a gradient that are differenced one by one; the rest along a random direction


@dataclass(frozen=True)
class Case:
    op: ModuleType
    letters: str  # the sizes that ``inputs`` takes, "KBD"
    inputs: Callable  # (rng, **sizes) -> float64 or integer arrays, or None, as forward takes them
    arguments: tuple = ()  # further arguments of forward, not differentiated
    label: str = ""
    differentiable: tuple[int, ...] | None = None  # inputs with a gradient; all float ones
    sizes: dict = field(default_factory=dict)  # the usual ones, for tests that need only one shape
    keywords: dict = field(default_factory=dict)  # of forward
    back_keywords: dict = field(default_factory=dict)  # of backward
    least: dict = field(default_factory=dict)  # smallest sizes; what is named here is never empty
    most: dict = field(default_factory=dict)  # largest sizes, where big ones cost too much
    outputs: tuple[int, ...] | None = None  # outputs that have a cotangent; all float ones
    batch: str = "B"  # the letter of rows that know nothing of each other; "" if there are none
    scale: float = 1.0  # of the numbers whose small difference a result may be
    threads: dict = field(default_factory=dict)  # sizes at which threads share the work, if other
    unshared: tuple = ()  # (backend, "forward" or "backward") that leave all work to BLAS
    functions: tuple[str, str] = ("forward", "backward")  # names in the op and its backends
    # Where the backward is not the derivative of the forward (estimators that stop a gradient):
    # (real inputs) -> the function that it is the derivative of: (inputs) -> a list of what the
    # cotangents belong to.
    surrogate: Callable | None = None

    @property
    def name(self):
        return self.op.OP.name + self.label

    @property
    def backends(self):
        return on_host(self.op.OP)

    def make(self, rng, sizes, dtype=np.float64):
        """Inputs that ``dtype`` can hold exactly."""
        arrays = self.inputs(rng, **sizes)
        return [x.astype(dtype) if is_float(x) else x for x in arrays]

    def wrt(self, inputs):
        if self.differentiable is not None:
            return list(self.differentiable)
        return [i for i, x in enumerate(inputs) if is_float(x)]

    def with_cotangent(self, outputs):
        if self.outputs is not None:
            return list(self.outputs)
        return [i for i, y in enumerate(outputs) if is_float(y)]

    def forward(self, inputs, backend="numpy"):
        function, inputs = getattr(self.op, self.functions[0]), placed(inputs, backend)
        *outputs, saved = function(*inputs, *self.arguments, **self.keywords, backend=backend)
        return placed(outputs), saved

    def cotangents(self, rng, outputs):
        return [
            rng.standard_normal(outputs[i].shape).astype(outputs[i].dtype)
            for i in self.with_cotangent(outputs)
        ]

    def backward(self, cotangents, saved, backend="numpy", **keywords):
        function = getattr(self.op, self.functions[1])
        keywords = {**self.back_keywords, **keywords}
        cotangents, saved = placed(cotangents, backend), placed(saved, backend)
        found = function(*cotangents, saved, **keywords, backend=backend)
        return placed(list(found) if isinstance(found, tuple) else [found])

    def gradients(self, inputs, cotangents, saved, backend="numpy", **keywords):
        """{input number: gradient}; integer inputs may be left out of what backward returns."""
        found = self.backward(cotangents, saved, backend, **keywords)
        numbers = list(range(len(inputs)))
        if len(found) != len(inputs):
            numbers = [i for i, x in enumerate(inputs) if x is None or is_float(x)]
        assert len(found) == len(numbers), f"{len(found)} gradients for {len(numbers)} inputs"
        gradients = dict(zip(numbers, found, strict=True))
        for i in numbers:
            assert i in self.wrt(inputs) or gradients[i] is None, f"input {i} has a gradient"
        return {i: gradients[i] for i in self.wrt(inputs)}


def placed(arrays, backend="numpy"):
    """The same list or tuple, its arrays where the backend takes them: host or device."""
    move = to_device if backend == "cuda" else to_host
    moved = [
        placed(x, backend) if isinstance(x, list | tuple) else move(x) if hasattr(x, "dtype") else x
        for x in arrays
    ]
    return type(arrays)(*moved) if hasattr(arrays, "_fields") else type(arrays)(moved)


def on_host(op):
    """The backends of an op that take NumPy arrays."""
    return [name for name in op.modules if name != "cuda"]


def is_float(x: Any) -> bool:
    return x is not None and x.dtype.kind == "f"


def needs(backend):
    """Skip where the backend cannot run; fail where BACKHAND_REQUIRE names it."""
    status = backends()[backend]
    if not status.available:
        required = os.environ.get("BACKHAND_REQUIRE", "").split(",")
        end = pytest.fail if backend in required else pytest.skip
        end(f"{backend}: {status.reason}")


def available(case):
    return [name for name in case.backends if backends()[name].available]


def difference(found, reference):
    """The largest one; what is not finite must be the same on both sides."""
    found, reference = np.asarray(found), np.asarray(reference)
    assert found.shape == reference.shape, (found.shape, reference.shape)
    finite = np.isfinite(reference)
    assert np.array_equal(found[~finite], reference[~finite], equal_nan=True)
    return np.abs(found[finite] - reference[finite]).max(initial=0.0)


def size_of(reference):
    return np.abs(reference[np.isfinite(reference)]).max(initial=0.0)


def agree(found, reference, tolerance, floor=0.0, allowed=0.0, may_vanish=False):
    """Within ``tolerance`` of the largest entry; empty arrays agree by shape.

    floor: the size of the numbers that went in, where the result may be a small difference.
    allowed: an absolute difference that is accepted in any case.
    may_vanish: the result may be zero throughout, as the gradient of a softmax of one class; at
    the usual sizes of a case it may not.
    """
    error = difference(found, reference)
    if np.size(reference):
        scale = size_of(np.asarray(reference))
        assert scale > 0 or may_vanish, "the reference is zero everywhere: nothing is shown"
        limit = max(tolerance * max(scale, floor), allowed)
        assert error <= limit, f"difference {error:.2e} > {limit:.0e} (largest entry {scale:.1e})"


def rounded(rng, arrays, dtype):
    """Every number of the arrays moved, in float64, by up to half a unit of ``dtype``."""
    half = np.finfo(dtype).eps / 2
    return [x * (1 + half * rng.uniform(-1, 1, x.shape)) if is_float(x) else x for x in arrays]


def complex_step(function, inputs, cotangents, i, direction):
    """d sum(cotangents * function(*inputs)) along ``direction`` of inputs[i]."""
    moved = list(inputs)
    moved[i] = inputs[i] + 1j * STEP * direction
    outputs = function(*moved)
    return sum((d * y.imag).sum() for d, y in zip(cotangents, outputs, strict=True)) / STEP


# -- the checks -----------------------------------------------------------------------------


def check_gradient(case, rng, sizes, backend="numpy"):
    """The float64 backward against the complex step through the reference, for every input."""
    inputs = case.make(rng, sizes)
    outputs, saved = case.forward(inputs, backend)
    cotangents = case.cotangents(rng, outputs)
    chosen = case.with_cotangent(outputs)

    def forward(*moved):
        outputs, _ = case.forward(moved)
        return [outputs[k] for k in chosen]

    function = case.surrogate(inputs) if case.surrogate else forward
    for i, gradient in case.gradients(inputs, cotangents, saved, backend).items():
        x = inputs[i]
        assert gradient.shape == x.shape, (gradient.shape, x.shape)
        entries = np.arange(x.size)
        if x.size > ENTRIES:
            entries = rng.choice(x.size, ENTRIES, replace=False)
            entries[:2] = 0, x.size - 1
            direction = rng.standard_normal(x.shape)
            right = complex_step(function, inputs, cotangents, i, direction)
            error = abs((gradient * direction).sum() - right)
            assert error <= COMPLEX_STEP * np.abs(gradient * direction).sum()
        right = []
        for entry in entries:
            one = np.zeros(x.size)
            one[entry] = 1
            right.append(complex_step(function, inputs, cotangents, i, one.reshape(x.shape)))
        rounding = ROUNDED * np.finfo(float).eps * case.scale
        found = gradient.reshape(-1)[entries]
        agree(found, np.array(right), COMPLEX_STEP, 0.0, rounding, sizes != case.sizes)


def arrays_of(saved):
    """Every NumPy array in it, lists of them included."""
    for x in saved:
        if isinstance(x, np.ndarray):
            yield x
        elif isinstance(x, list | tuple):
            yield from arrays_of(x)


def check_kept(case, inputs, backend):
    """An output is read-only if the backward reads its memory, and never that of an input."""
    if backend == "cuda":  # no such mark there
        return
    outputs, saved = case.forward(inputs, backend)
    for y in outputs:
        kept = any(np.shares_memory(x, y) for x in arrays_of(saved))
        assert y.flags.writeable != kept, "an output that the backward reads may be written"
        assert not any(x is not None and np.shares_memory(x, y) for x in inputs)


def check_contract(case, rng, sizes, backend="numpy", dtype=np.float64):
    """Inputs untouched; types and shapes kept; a second backward equal; linear; need_x flags."""
    inputs = case.make(rng, sizes, dtype)
    check_kept(case, inputs, backend)
    copies = [None if x is None else x.copy() for x in inputs]
    inputs = placed(inputs, backend)
    outputs, saved = case.forward(inputs, backend)
    kept = [y.copy() for y in outputs]
    a, b = case.cotangents(rng, outputs), case.cotangents(rng, outputs)
    a_copies = [d.copy() for d in a]
    a = placed(a, backend)
    first = {i: g.copy() for i, g in case.gradients(inputs, a, saved, backend).items()}
    again = case.gradients(inputs, a, saved, backend)
    for i, gradient in first.items():
        assert np.array_equal(gradient, again[i]), f"a second backward differs for input {i}"
        assert gradient.shape == inputs[i].shape
        assert gradient.dtype == inputs[i].dtype
    now = placed([*inputs, *a, *outputs])
    for old, new in zip([*copies, *a_copies, *kept], now, strict=True):
        assert old is None or np.array_equal(old, new), "an input, cotangent or output is written"
    for y in outputs:
        assert not is_float(y) or y.dtype == dtype
    other = case.gradients(inputs, b, saved, backend)
    both = case.gradients(
        inputs, [x + 2 * y for x, y in zip(a_copies, b, strict=True)], saved, backend
    )
    tolerance = FLOAT64 if dtype == np.float64 else FLOAT32
    for i in first:
        agree(both[i], first[i] + 2 * other[i], tolerance, floor=case.scale)
    check_need_flags(case, inputs, a, saved, backend, first)


def check_need_flags(case, inputs, cotangents, saved, backend, gradients):
    """``need_x=False`` leaves x's gradient out and the others as they are."""
    forward, backward = (inspect.signature(getattr(case.op, f)) for f in case.functions)
    names = list(forward.parameters)
    for flag in [name for name in backward.parameters if name.startswith("need_")]:
        left_out = names.index(flag.removeprefix("need_"))
        found = case.gradients(inputs, cotangents, saved, backend, **{flag: False})
        for i, gradient in found.items():
            if i == left_out:
                assert gradient is None, f"{flag}=False has a gradient"
            else:
                assert np.array_equal(gradient, gradients[i]), f"{flag} changes input {i}"


def check_backend(case, rng, sizes, backend, dtype, layouts=LAYOUTS[:1], others=None):
    """Outputs and gradients against the float64 reference, the saved values of any backend.

    layouts: how inputs and cotangents lie in memory, taken in turn.
    others: the backends whose saved values are exchanged; all that can run here.
    """
    inputs = case.make(rng, sizes, dtype)
    exact = [x.astype(np.float64) if is_float(x) else x for x in inputs]
    outputs, saved = case.forward(exact)
    cotangents = [d.astype(dtype) for d in case.cotangents(rng, outputs)]
    gradients = case.gradients(exact, [d.astype(np.float64) for d in cotangents], saved)
    low, low_saved = case.forward(inputs)
    low_gradients = case.gradients(inputs, cotangents, low_saved)
    turn = [layouts[n % len(layouts)] for n in range(len(inputs) + len(cotangents))]

    @cache
    def given(where):
        return [laid_out(x, how) for x, how in zip(placed(inputs, where), turn, strict=False)]

    @cache
    def seeds(where):
        there = placed(cotangents, where)
        return [laid_out(d, how) for d, how in zip(there, reversed(turn), strict=False)]

    tolerance = FLOAT32 if dtype == np.float32 else FLOAT64

    @cache
    def moved():
        """Eight times what comes out where the numbers that go in are rounded otherwise."""
        results = []
        for _ in range(8):  # of three the largest was sixteen times too small
            there, changed = rounded(rng, exact, dtype), rounded(rng, cotangents, dtype)
            y, kept = case.forward(there)
            results.append((y, case.gradients(there, changed, kept)))
        return results

    def compare(found, reference, at_low, which, i):
        if not is_float(reference):
            assert np.array_equal(found, reference)
            return
        assert found.dtype == dtype
        allowed = 0.0
        if difference(found, reference) > tolerance * max(size_of(reference), case.scale):
            # What cannot be asked: NumPy loses it too, or the rounding of what goes in.
            allowed = ROUNDED * max(difference(m[which][i], reference) for m in moved())
            if backend != "numpy":
                allowed = max(allowed, BASELINE * difference(at_low, reference))
        agree(found, reference, tolerance, case.scale, allowed, may_vanish=sizes != case.sizes)

    if others is None:
        others = [name for name in available(case) if name != backend]
    pairs = [(backend, backend), *((backend, o) for o in others), *((o, backend) for o in others)]
    for ahead, back in pairs:
        found, kept = case.forward(given(ahead), ahead)
        for i, y in enumerate(found):
            compare(y, outputs[i], low[i], 0, i)
        assert len(found) == len(outputs)
        for i, gradient in case.gradients(given(back), seeds(back), kept, back).items():
            compare(gradient, gradients[i], low_gradients[i], 1, i)
