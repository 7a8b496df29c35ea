"""Argument checks, in one place: ``check("linear", x=(x, "... I"), W=(W, "I O"))``.

A pattern is a list of size letters; ``...`` in front stands for any leading axes, and ``*...``
for the same leading axes behind any number of sample axes.  A letter means one size in the
whole call, and a number means itself.  Arguments are floats of one precision, and a complex
one goes with real ones of its own precision (complex step); ``int`` in front: integers or
booleans.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from backhand._types import Array, DType
from backhand.backend import is_device_array

# In the machine's byte order: what the compiled kernels can take.
FLOATS = tuple(map(np.dtype, ("float32", "float64", "complex64", "complex128")))
REMEMBERED = 4096  # calls that passed, by shapes and types: the same need no second look
_passed: dict[tuple[Any, ...], dict[str, Any]] = {}


@cache
def _parse(pattern: str) -> tuple[str, str, tuple[str, ...]]:
    """(kinds of dtype, "", "..." or "*...", letters)"""
    letters = tuple(pattern.split())
    kinds = "fc"
    if letters[:1] == ("int",):
        kinds, letters = "iub", letters[1:]
    leading = letters[0] if letters and letters[0].endswith("...") else ""
    return kinds, leading, letters[1:] if leading else letters


def check(op: str, **arguments: tuple[Array, str]) -> dict[str, Any]:
    """Sizes by letter (``"..."``: the leading shape); raises naming op, argument and both sides."""
    try:
        key = (
            op,
            *[(name, a.shape, a.dtype, pattern) for name, (a, pattern) in arguments.items()],
        )
    except AttributeError:  # not an array: said below
        return _check(op, arguments)
    sizes = _passed.get(key)
    if sizes is None:
        sizes = _check(op, arguments)
        if len(_passed) >= REMEMBERED:
            _passed.clear()
        _passed[key] = sizes
    return sizes


def _check(op: str, arguments: dict[str, tuple[Array, str]]) -> dict[str, Any]:
    sizes: dict[str, Any] = {}
    origin: dict[str, str] = {}
    dtype, dtype_from = None, ""
    for name, (array, pattern) in arguments.items():
        kinds, leading, letters = _parse(pattern)
        if not isinstance(getattr(array, "dtype", None), np.dtype):
            cure = "; bh.to_device(x) makes one of it" if is_device_array(array) else ""
            raise TypeError(f"{op}: {name} must be an array, got {type(array).__name__}{cure}")
        if array.dtype.kind not in kinds or (kinds == "fc" and array.dtype not in FLOATS):
            wanted = "an array of integers" if kinds == "iub" else "float32 or float64"
            raise TypeError(
                f"{op}: {name} must be {wanted}, got {array.dtype}; convert it, "
                "backhand never casts silently"
            )
        shape = array.shape
        if len(shape) < len(letters) or (not leading and len(shape) != len(letters)):
            raise ValueError(f"{op}: {name} must have shape ({_show(pattern)}), got {shape}")
        split = len(shape) - len(letters)
        if leading == "*...":
            shared = sizes["..."]
            if shape[max(0, split - len(shared)) : split] != shared:
                raise ValueError(
                    f"{op}: {name} must have shape ({_show(pattern)}) with ... = {shared} "
                    f"(from {origin['...']}) behind any sample axes, got {shape}"
                )
        if leading:
            _bind(op, name, pattern, shape, sizes, origin, leading, shape[:split])
        for letter, size in zip(letters, shape[split:], strict=True):
            if letter.isdigit():
                if size != int(letter):
                    raise ValueError(
                        f"{op}: {name} must have shape ({_show(pattern)}), got {shape}"
                    )
            else:
                _bind(op, name, pattern, shape, sizes, origin, letter, size)
        if kinds == "fc":
            if dtype is not None and array.dtype != dtype and _real(array.dtype) != _real(dtype):
                raise TypeError(
                    f"{op}: {name} is {array.dtype} but {dtype_from} is {dtype}; "
                    "convert one of them, backhand never casts silently"
                )
            dtype, dtype_from = array.dtype, name
    return sizes


def _bind(
    op: str,
    name: str,
    pattern: str,
    shape: tuple[int, ...],
    sizes: dict[str, Any],
    origin: dict[str, str],
    letter: str,
    size: Any,
) -> None:
    expected = sizes.setdefault(letter, size)
    source = origin.setdefault(letter, name)
    if expected != size:
        raise ValueError(
            f"{op}: {name} must have shape ({_show(pattern)}) with {letter} = {expected} "
            f"(from {source}), got {shape}"
        )


def _real(dtype: DType) -> DType:
    return np.empty(0, dtype).real.dtype


def _show(pattern: str) -> str:
    return ", ".join(pattern.removeprefix("int ").split())
