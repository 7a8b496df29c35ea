"""Between the host and a GPU: arrays and models, there and back.

Nothing moves by itself.  ``to_device`` and ``to_host`` are the ways, and whoever computes with
arrays of both places gets an error.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.backend import is_device_array, require, use_backend
from backhand.numerics import HOST

_CUDA = 2  # kDLCUDA of DLPack


def to_device(x: Any) -> Any:
    """An array, or a model, on the current GPU, as CuPy's; what is there already is not copied.

    Arrays on a GPU from other libraries come by DLPack or ``__cuda_array_interface__``, and
    share their memory; CuPy's arrays carry both for the way back.  Raises BackendUnavailable
    where there is no GPU or no CuPy.
    """
    if hasattr(x, "params"):
        return x.over(to_device(x.params.vector))
    require("cuda")
    cupy = import_module("cupy")
    if isinstance(x, cupy.ndarray):
        return x
    if hasattr(x, "__dlpack_device__") and x.__dlpack_device__()[0] == _CUDA:
        return cupy.from_dlpack(x)
    return cupy.asarray(x)


def to_host(x: Any) -> Any:
    """An array, or a model, in NumPy's memory; what is there already is not copied."""
    if isinstance(x, HOST):
        return x
    if hasattr(x, "params"):
        return x.over(to_host(x.params.vector))
    return to_device(x).get() if is_device_array(x) else np.asarray(x)


def placed(model: Any, backend: str | None) -> Any:
    """The model where the backend of this name runs."""
    on_host = not is_device_array(model.params.vector)
    return to_device(model) if backend == "cuda" and on_host else model


def host_backend(backend: str | None) -> AbstractContextManager[None]:
    """``use_backend``, where that is for arrays of the host: on a GPU the array decides."""
    return use_backend(backend) if backend and backend != "cuda" else nullcontext()


def check_place(what: str, x: Array, vector: Array) -> None:
    """Raise where x and a model's parameters lie in different places."""
    if type(x) is type(vector):
        return
    if is_device_array(x) != is_device_array(vector):
        here, there = ("a GPU", "the host") if is_device_array(x) else ("the host", "a GPU")
        raise ValueError(
            f"{what}: the data lie on {here}, the parameters on {there}; "
            "move one of them by bh.to_device or bh.to_host"
        )
