"""DRAW: what a step of training keeps, and its peak."""

import tracemalloc
import types
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

import backhand as bh
from backhand.model import Batch, DataSpec
from backhand.models.draw import DRAW, DRAWConfig
from backhand.noise import Noise
from backhand.threads import blas_threads


def arrays_below(root):
    """Bytes of the distinct arrays that can be reached, by the identity of their memory."""
    found, seen, waiting = {}, set(), [root]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, type | types.ModuleType):
            continue
        seen.add(id(item))
        if isinstance(item, np.ndarray):
            while isinstance(item.base, np.ndarray):
                item = item.base
            found[id(item)] = item.nbytes
        elif isinstance(item, types.FunctionType):
            for cell in item.__closure__ or ():
                with suppress(ValueError):  # a name that was never given a value
                    waiting.append(cell.cell_contents)
        elif isinstance(item, types.MethodType):
            waiting += [item.__self__, item.__func__]
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
        else:
            waiting += getattr(item, "__dict__", {}).values()
    return found


def memory(config, dtype="float32", n=100, shape=(28, 28)):
    """(bytes kept at the end of the forward pass, peak of the whole step) of a training step.

    As ``fit`` has it with threads: one of BLAS, weights packed.
    """
    with blas_threads(1):
        return _memory(config, dtype, n, shape)


def _memory(config, dtype, n, shape):
    rng = np.random.default_rng(0)
    batch = Batch((rng.random((n, *shape)) < 0.2).astype(dtype), np.arange(n))
    model = DRAW.create(config, DataSpec(shape, "binary"), batch.x, dtype=dtype)
    g = bh.grads_like(model, defer=True)
    few = batch._replace(x=batch.x[:1], index=batch.index[:1])
    model.bound(few, Noise(0)).backward(None, g)  # what is made once
    g.zero()
    tracemalloc.start()
    try:
        bound = model.bound(batch, Noise(0, 1))
        others = arrays_below([model, g, batch])
        kept = sum(size for at, size in arrays_below(bound).items() if at not in others)
        bound.backward(None, g)
        g.flush()
        return kept, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("windows", [{"read": 2, "write": 5}, {"read": 0, "write": 0}])
def test_a_step_of_training_needs_little_more_than_it_keeps(windows):
    kept, peak = memory(DRAWConfig(glimpses=64, latent=100, **windows))
    assert kept > 100e6
    assert peak <= 1.5 * kept
    assert peak <= 1.2 * kept  # arrays go as they are used


@pytest.mark.parametrize("recompute", [1, 4, 8])
def test_computing_again_saves_memory(recompute):
    config = DRAWConfig(glimpses=32, latent=10, hidden=128)
    kept, peak = memory(replace(config, recompute=recompute))
    kept_all, peak_all = memory(config)
    assert kept < 0.45 * kept_all
    assert peak < 0.6 * peak_all
