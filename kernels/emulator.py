"""The engine behind ``emulated``: csrc/*/kernel.cu, run on the CPU by csrc/emulator.

A launch is a function of its arguments and of an order: in which the threads of a block and the
blocks of a grid take their turns.  A right kernel gives the same bits in every order:

    with order(1): ...      # 0 ascending (the default), 1 descending, n > 1 shuffled by n
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

_order: ContextVar[int] = ContextVar("backhand_emulator_order", default=0)
_chosen: ContextVar[Library | None] = ContextVar("backhand_emulator", default=None)


class EmulatorError(RuntimeError):
    """A kernel broke a rule of CUDA: a barrier that not all reach, a shuffle with a stranger."""


class _Argument(ctypes.Structure):
    _fields_ = [("address", ctypes.c_void_p), ("bytes", ctypes.c_longlong)]


class Library:
    """A build of the emulator with some kernels."""

    def __init__(self, path: str | Path) -> None:
        self._library: Any = ctypes.CDLL(str(path))
        for name in ("kernels", "compiler", "launch"):
            getattr(self._library, f"bh_emulator_{name}").restype = ctypes.c_char_p
        self.compiler: str = self._library.bh_emulator_compiler().decode()
        # (kernel, float or double) -> parameters, as Kernel.signature has them
        self.signatures: dict[tuple[str, str], str] = {}
        for line in self._library.bh_emulator_kernels().decode().splitlines():
            name, real, parameters = line.split(" ", 2)
            self.signatures[name, real] = parameters

    def launch(
        self, kernel: str, real: str, grid: tuple[int, ...], block: tuple[int, ...],
        shared: int, arguments: Sequence[Any],
    ) -> None:  # fmt: skip
        """arguments: NumPy arrays, None for a null pointer, NumPy scalars."""
        table = (_Argument * len(arguments))()
        kept = []  # what the addresses point at
        for entry, a in zip(table, arguments, strict=True):
            if a is None:
                entry.address, entry.bytes = None, 0
            elif a.ndim or a.shape != () or not _is_scalar(a):
                entry.address, entry.bytes = a.ctypes.data, a.nbytes
            else:
                number = ctypes.create_string_buffer(a.tobytes(), a.nbytes)
                kept.append(number)
                entry.address, entry.bytes = ctypes.addressof(number), -1
        sentence = self._library.bh_emulator_launch(
            kernel.encode(), real.encode(), (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block),
            ctypes.c_ulonglong(shared), ctypes.c_ulonglong(_order.get()), table,
        )  # fmt: skip
        if sentence is not None:
            raise EmulatorError(sentence.decode())


def _is_scalar(a: Any) -> bool:
    import numpy as np

    return isinstance(a, np.generic)


@contextmanager
def order(seed: int) -> Iterator[None]:
    """The order of threads and blocks in the block of code."""
    if seed < 0:
        raise ValueError(f"order: the seed must not be negative, got {seed}")
    token = _order.set(seed)
    try:
        yield
    finally:
        _order.reset(token)


@contextmanager
def using(library: Library) -> Iterator[None]:
    """Another build of the emulator in the block of code: with sanitizers, or other kernels."""
    token = _chosen.set(library)
    try:
        yield
    finally:
        _chosen.reset(token)


def library() -> Library:
    """The build in use; ImportError where there is none."""
    return _chosen.get() or _installed()


@cache
def _installed() -> Library:
    found = importlib.util.find_spec("backhand._emulated")
    if found is None or found.origin is None:
        raise ImportError("No module named 'backhand._emulated'", name="backhand._emulated")
    try:
        return Library(found.origin)
    except OSError as error:
        raise ImportError(f"{found.origin} cannot be loaded: {error}") from error
