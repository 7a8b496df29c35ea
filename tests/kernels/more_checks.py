"""Checks of the harness that look at one backend: rows, empty arrays, wrong arguments, text."""

import inspect
from contextlib import contextmanager
from importlib import import_module

import numpy as np
import pytest

import backhand as bh
from backhand.threads import thread_counts
from tests.kernels.harness import agree, is_float
from tests.tolerances import FLOAT32, FLOAT64

LARGE = 200_000  # numbers in the largest input: enough to be shared out among threads


@contextmanager
def hand_overs(backend):
    """Inside, a function that counts how often work was given to another thread.

    Numba's kernels hand over whatever they have: what repays it would need larger arrays.
    """
    if backend == "native":
        yield import_module("backhand._native").threads.handed_over
        return
    tools = import_module("backhand.kernels.numba_tools")
    pool, threshold, count = tools._pool, tools.HAND_OVER, [0]

    def counting(helpers):
        count[0] += 1
        return pool(helpers)

    tools._pool, tools.HAND_OVER = counting, 1e-12
    try:
        yield lambda: count[0]
    finally:
        tools._pool, tools.HAND_OVER = pool, threshold


def check_threads(case, rng, backend, dtype):
    """Two threads give what one gives, but for the order of sums; twice alike to the bit.

    Forward and backward must really have shared their work.
    """
    grown = case.batch or case.letters[0]
    largest = max(x.size for x in case.make(rng, case.sizes) if x is not None)
    sizes = {**case.sizes, grown: case.sizes[grown] * max(1, LARGE // largest)}
    inputs = case.make(rng, case.threads or sizes, dtype)
    cotangents = case.cotangents(rng, case.forward(inputs)[0])
    before = thread_counts().get(backend, 1)
    results = []
    with hand_overs(backend) as count:
        try:
            for threads in (1, 2, 2):
                bh.set_threads(**{backend: threads})
                first = count()
                outputs, saved = case.forward(inputs, backend)
                second = count()
                gradients = case.gradients(inputs, cotangents, saved, backend)
                for name, shared in (("forward", second > first), ("backward", count() > second)):
                    expected = threads > 1 and (backend, name) not in case.unshared
                    assert shared == expected, f"{name} shared its work: {shared}"
                results.append([*outputs, *gradients.values()])
        finally:
            bh.set_threads(**{backend: before})
    for one, two, again in zip(*results, strict=True):
        assert np.array_equal(two, again), "two threads do not give the same twice"
        agree(two, one, FLOAT32 if dtype == np.float32 else FLOAT64, floor=case.scale)


def changed_axes(small, large):
    """For each array the axis along which it grew, or None."""
    found = []
    for a, b in zip(small, large, strict=True):
        axes = [n for n in range(np.ndim(a)) if a.shape[n] != b.shape[n]]
        assert len(axes) <= 1, f"more than one axis grows with the batch: {a.shape} to {b.shape}"
        found.append(axes[0] if axes else None)
    return found


def check_rows(case, rng, backend):
    """A batch gives what its rows give by themselves; other rows get no gradient."""
    sizes = {**case.sizes, case.batch: 4}
    inputs = case.make(rng, sizes)
    outputs, saved = case.forward(inputs, backend)
    larger = case.make(rng, {**sizes, case.batch: 5})
    in_axes = changed_axes(inputs, larger)
    out_axes = changed_axes(outputs, case.forward(larger, backend)[0])
    rows = [3, 1]
    others = [0, 2]

    def take(x, axis, rows):
        return x if axis is None else np.take(x, rows, axis)

    part = [take(x, axis, rows) for x, axis in zip(inputs, in_axes, strict=True)]
    part_outputs, part_saved = case.forward(part, backend)
    for y, whole, axis in zip(part_outputs, outputs, out_axes, strict=True):
        agree(y, take(whole, axis, rows), FLOAT64, floor=case.scale)
    cotangents = case.cotangents(rng, outputs)
    axes = [out_axes[i] for i in case.with_cotangent(outputs)]
    part_cotangents = [take(d, axis, rows) for d, axis in zip(cotangents, axes, strict=True)]
    for d, axis in zip(cotangents, axes, strict=True):
        np.moveaxis(d, axis, 0)[others] = 0
    whole = case.gradients(inputs, cotangents, saved, backend)
    for i, gradient in case.gradients(part, part_cotangents, part_saved, backend).items():
        agree(gradient, take(whole[i], in_axes[i], rows), FLOAT64, floor=case.scale)
        if in_axes[i] is not None:
            assert not take(whole[i], in_axes[i], others).any(), f"rows meet in input {i}"


def check_empty(case, rng, sizes, backend, dtype):
    """Nothing in, nothing out: shapes, types, and what is left, as the reference has it."""
    inputs = case.make(rng, sizes, dtype)
    outputs, saved = case.forward(inputs, backend)
    right, right_saved = case.forward(inputs)
    cotangents = case.cotangents(rng, right)
    pairs = list(zip(outputs, right, strict=True))
    gradients = case.gradients(inputs, cotangents, saved, backend)
    expected = case.gradients(inputs, cotangents, right_saved)
    pairs += [(gradients[i], expected[i]) for i in expected]
    tolerance = FLOAT32 if dtype == np.float32 else FLOAT64
    for found, reference in pairs:
        assert found.dtype == reference.dtype
        agree(found, reference, tolerance, may_vanish=True)
    for i, gradient in gradients.items():
        assert gradient.shape == inputs[i].shape


def replaced(arrays, i, x):
    return [x if j == i else old for j, old in enumerate(arrays)]


def wrong_inputs(inputs):
    """(what is wrong, the inputs with it, the error)"""
    floats = [i for i, x in enumerate(inputs) if is_float(x)]
    for i in floats:
        x, name = inputs[i], f"input {i}"
        yield f"{name} of integers", replaced(inputs, i, x.astype(np.int64)), TypeError
        yield f"{name} as a list", replaced(inputs, i, x.tolist()), TypeError
        if x.ndim:
            yield f"{name} without axes", replaced(inputs, i, np.zeros((), x.dtype)), ValueError
        if len(floats) > 1:
            yield f"{name} in float32", replaced(inputs, i, x.astype(np.float32)), TypeError


def wrong_cotangents(cotangents):
    for i, d in enumerate(cotangents):
        wide = np.zeros((*d.shape[:-1], d.shape[-1] + 1) if d.ndim else 2)
        yield f"cotangent {i} too wide", replaced(cotangents, i, wide), ValueError
        low = replaced(cotangents, i, d.astype(np.float32))
        yield f"cotangent {i} in float32", low, TypeError


def refusal(call, arguments, error, what):
    with pytest.raises(error) as caught:
        call(arguments)
    assert caught.type is error, what
    return str(caught.value)


def check_errors(case, rng, backend):
    """Wrong arguments are refused, in the same words whatever the backend."""
    inputs = case.make(rng, case.sizes)
    outputs, saved = case.forward(inputs, backend)

    def forward(name):
        return lambda wrong: case.forward(wrong, name)

    def backward(name):
        return lambda wrong: case.backward(wrong, saved, name)

    faults = [(forward, *fault) for fault in wrong_inputs(inputs)]
    faults += [(backward, *fault) for fault in wrong_cotangents(case.cotangents(rng, outputs))]
    for call, what, wrong, error in faults:
        message = refusal(call(backend), wrong, error, what)
        assert message == refusal(call("numpy"), wrong, error, what)
        assert message.startswith(case.op.OP.name), f"{what}: {message}"


def check_signatures(case, backend):
    """A backend's functions take what the reference's take, by the same names."""
    reference, module = (case.op.OP.implementation(name) for name in ("numpy", backend))
    for function in case.functions:
        expected, found = (
            [
                (p.name, p.kind, p.default)
                for p in inspect.signature(getattr(m, function)).parameters.values()
            ]
            for m in (reference, module)
        )
        assert found == expected, function
