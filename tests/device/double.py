"""A strict stand-in for CuPy, for machines without a GPU.

Inside ``with installed() as cupy:`` it is what ``import cupy`` finds.  It has two devices, which
are memory of the host.  Its arrays refuse what would be an error on a GPU, or would stop it in
silence: an implicit copy to the host, a host array in arithmetic, an index or a launch, an array
of another device, and every name and argument that CuPy does not have (signatures.json).
Fresh memory holds NaN.
"""

import sys
from contextlib import contextmanager
from types import ModuleType

import numpy as np

from backhand import backend
from backhand.kernels import cuda_device
from tests.device import array, engine
from tests.device.array import Current, bound, inside, ndarray, outside

UFUNCS = (
    "abs", "add", "arctan2", "divide", "exp", "expm1", "isfinite", "log", "log1p", "maximum",
    "minimum", "multiply", "rint", "sqrt", "subtract", "tanh",
)  # fmt: skip
FUNCTIONS = (
    "argsort", "broadcast_to", "clip", "concatenate", "dot", "einsum", "flatnonzero", "matmul",
    "max", "may_share_memory", "mean", "nan_to_num", "result_type", "shares_memory", "split",
    "squeeze", "stack", "sum", "take_along_axis", "where",
)  # fmt: skip
NEW = ("arange", "full", "full_like", "ones", "ones_like", "zeros", "zeros_like")
OTHERS = (
    "array", "asarray", "ascontiguousarray", "empty", "empty_like", "from_dlpack", "ndarray.get",
    "ndarray.__dlpack__", "RawModule", "RawModule.get_function", "RawModule.compile",
    "RawKernel.__call__", "cuda.Device", "cuda.Stream", "cuda.get_current_stream",
)  # fmt: skip
PLAIN = (
    "ndarray.T", "ndarray.real", "ndarray.imag", "ndarray.flags", "ndarray.device",
    "ndarray.__cuda_array_interface__", "cuda.Stream.null", "cuda.runtime.getDeviceCount",
    "cuda.runtime.getDevice", "RawModule.code", "RawModule.options",
)  # fmt: skip


def names():
    """All that the double has, as CuPy must have it."""
    of_arrays = (*array.VIEWS, *array.METHODS, *array.PROPERTIES)
    listed = {*UFUNCS, *FUNCTIONS, *NEW, *OTHERS, *PLAIN, *(f"ndarray.{n}" for n in of_arrays)}
    return sorted(listed)


def _function(name):
    def call(*args, **kwargs):
        bound(name, args, kwargs)
        if name == "einsum" and set(kwargs) - {"dtype", "optimize"}:
            raise TypeError(f"Did not understand the following kwargs: {list(kwargs)}")
        with np.errstate(all="ignore"):
            found = getattr(np, name)(
                *inside(args), **{key: inside(value) for key, value in kwargs.items()}
            )
        out = kwargs.get("out")
        return outside(found) if out is None else out

    call.__name__ = name
    return call


def empty(*args, **kwargs):
    bound("empty", args, kwargs)
    return outside(_poisoned(np.empty(*args, **kwargs)))


def empty_like(*args, **kwargs):
    bound("empty_like", args, kwargs)
    return outside(_poisoned(np.empty_like(*inside(args), **kwargs)))


def _poisoned(fresh):
    fresh.ravel(order="K").view(np.uint8)[...] = 1 if fresh.dtype == bool else 0xFF
    return fresh


def to_device(*args, **kwargs):
    """``asarray``: the explicit way from the host, and from what lies on a device already."""
    bound("asarray", args, kwargs)
    x, *more = args
    if isinstance(x, ndarray):
        return outside(np.asarray(inside(x), *more, **kwargs))
    if hasattr(x, "__cuda_array_interface__"):
        return outside(np.asarray(_Foreign(x), *more, **kwargs))
    return outside(np.array(np.asarray(x, *more, **kwargs), order="C"))


class _Foreign:
    def __init__(self, x):
        self.__array_interface__ = x.__cuda_array_interface__


def from_dlpack(x, **kwargs):
    bound("from_dlpack", (x,), kwargs)
    kind, device = x.__dlpack_device__()
    if kind != 2:
        raise TypeError("CPU arrays cannot be directly imported to CuPy")
    return outside(np.from_dlpack(_Capsule(x)), device)


class _Capsule:
    def __init__(self, x):
        self._x = x

    def __dlpack__(self, **_):
        return self._x.__dlpack__(stream=1, max_version=(1, 0))

    def __dlpack_device__(self):
        return 1, 0  # NumPy reads the host's memory, as which it lies here


def module():
    cupy = ModuleType("cupy")
    cupy.__version__ = "0 (the tests' double)"
    for name in (*UFUNCS, *FUNCTIONS, *NEW):
        setattr(cupy, name, _function(name))
    cupy.ascontiguousarray = _function("ascontiguousarray")
    cupy.array = cupy.asarray = to_device
    cupy.empty, cupy.empty_like, cupy.from_dlpack = empty, empty_like, from_dlpack
    cupy.ndarray, cupy.RawModule, cupy.cuda = ndarray, engine.RawModule, engine.cuda
    return cupy


@contextmanager
def installed():
    """``import cupy`` finds the double, and nothing that was compiled or found out before."""
    before = sys.modules.get("cupy")
    caches = (backend.status, cuda_device.module, cuda_device._function)
    for cache in caches:
        cache.cache_clear()
    engine.Log.clear()
    Current.device = 0
    sys.modules["cupy"] = cupy = module()
    try:
        yield cupy
    finally:
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before
        for cache in caches:
            cache.cache_clear()
