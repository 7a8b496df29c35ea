"""What every op must satisfy, on every backend that it has.

A ``Case`` names the op, how its inputs are made from sizes, and which it is differentiated by.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from tests.tolerances import COMPLEX_STEP, FLOAT32, FLOAT64

STEP = 1e-30


@dataclass(frozen=True)
class Case:
    op: ModuleType
    letters: str  # the sizes that ``inputs`` takes, "KBD"
    inputs: Callable  # (rng, **sizes) -> float64 arrays, in the order of forward's arguments
    arguments: tuple = ()  # further arguments of forward, not differentiated
    label: str = ""
    differentiable: tuple[int, ...] | None = None
    sizes: dict = field(default_factory=dict)  # the usual ones, for tests that need only one shape

    @property
    def name(self):
        return self.op.OP.name + self.label

    def forward(self, inputs, backend="numpy"):
        *outputs, saved = self.op.forward(*inputs, *self.arguments, backend=backend)
        return outputs, saved

    def backward(self, cotangents, saved, backend="numpy"):
        found = self.op.backward(*cotangents, saved, backend=backend)
        return list(found) if isinstance(found, tuple) else [found]


def random_like(rng, arrays):
    return [rng.standard_normal(np.shape(a)) for a in arrays]


def agree(a, b, tolerance, floor=0.0):
    """Largest difference relative to the largest entry; empty arrays agree by shape.

    floor: the size of the numbers that went in, where the result may be a small difference.
    """
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape, (a.shape, b.shape)
    if a.size:
        scale = np.abs(b).max()
        assert scale > 0, "the reference is zero everywhere: nothing is shown"
        worst = np.abs(a - b).max() / max(scale, floor)
        assert worst <= tolerance, f"relative difference {worst:.2e} > {tolerance:.0e}"


def complex_step(case, inputs, cotangents, i):
    """d sum(cotangents * outputs) / d inputs[i], entry by entry."""
    gradient = np.empty(inputs[i].shape)
    for at in np.ndindex(inputs[i].shape):
        moved = [x.astype(complex) if j == i else x for j, x in enumerate(inputs)]
        moved[i][at] += 1j * STEP
        outputs, _ = case.forward(moved)
        gradient[at] = (
            sum((d * y.imag).sum() for d, y in zip(cotangents, outputs, strict=True)) / STEP
        )
    return gradient


def check_gradient(case, rng, sizes):
    """The reference backward against the complex step, for every input, random cotangents."""
    inputs = case.inputs(rng, **sizes)
    outputs, saved = case.forward(inputs)
    cotangents = random_like(rng, outputs)
    gradients = case.backward(cotangents, saved)
    wrt = case.differentiable if case.differentiable is not None else range(len(inputs))
    for i in wrt:
        agree(gradients[i], complex_step(case, inputs, cotangents, i), COMPLEX_STEP)


def check_contract(case, rng, sizes):
    """Inputs untouched; a second backward is equal; backward is linear; views are accepted."""
    inputs = case.inputs(rng, **sizes)
    copies = [x.copy() for x in inputs]
    outputs, saved = case.forward(inputs)
    a, b = random_like(rng, outputs), random_like(rng, outputs)
    first, again = case.backward(a, saved), case.backward(a, saved)
    both = case.backward([x + 2 * y for x, y in zip(a, b, strict=True)], saved)
    other = case.backward(b, saved)
    for x, y, copy in zip(first, again, copies, strict=False):
        assert np.array_equal(x, y)
        assert x.shape == copy.shape
        assert x.dtype == copy.dtype
    for x, y, total in zip(first, other, both, strict=True):
        agree(total, x + 2 * y, FLOAT64)
    for x, copy in zip(inputs, copies, strict=True):
        assert np.array_equal(x, copy)
    strided = [np.repeat(x, 2, axis=-1)[..., ::2] for x in inputs]
    for x, y in zip(case.forward(strided)[0], outputs, strict=True):
        assert np.array_equal(x, y)


def check_backend(case, rng, sizes, backend, dtype):
    """Outputs and gradients against the float64 reference, also with exchanged saved values."""
    inputs = case.inputs(rng, **sizes)
    outputs, saved = case.forward(inputs)
    cotangents = random_like(rng, outputs)
    gradients = case.backward(cotangents, saved)
    low = [x.astype(dtype) for x in inputs]
    d_low = [d.astype(dtype) for d in cotangents]
    tolerance = FLOAT32 if dtype == np.float32 else FLOAT64
    forms = [(backend, backend), (backend, "numpy"), ("numpy", backend)]
    for ahead, back in forms:
        y, kept = case.forward(low, ahead)
        for found, reference in zip(y, outputs, strict=True):
            assert found.dtype == dtype
            agree(found, reference, tolerance, floor=1.0)
        for found, reference in zip(case.backward(d_low, kept, back), gradients, strict=True):
            assert found.dtype == dtype
            agree(found, reference, tolerance, floor=1.0)
