"""Which code runs an op, and why.

The type of the arrays picks the device.  On the CPU the order is: the ``backend=``
argument, ``with use_backend(name):``, the variable ``BACKHAND_BACKEND`` as it was at import,
else the best backend that the op has and this machine can run.  A backend that was asked for
and is missing raises ``BackendUnavailable``: nothing falls back in silence.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

# Fastest first: the order in which a backend is chosen when none is named.
CPU_ORDER = ("native", "numba", "numpy")
BACKENDS = ("numpy", "numba", "native", "cuda", "emulated")

_asked_for: ContextVar[str | None] = ContextVar("backhand_backend", default=None)
_environment = os.environ.get("BACKHAND_BACKEND") or None


class BackendUnavailable(RuntimeError):
    """A backend was asked for by name and cannot run here, or lacks the op."""


class Status(NamedTuple):
    available: bool
    reason: str


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Run every op in the block on ``name``; raises at once if it is unknown or missing."""
    require(name)
    token = _asked_for.set(name)
    try:
        yield
    finally:
        _asked_for.reset(token)


def asked_for() -> str | None:
    """The backend of the innermost ``use_backend``."""
    return _asked_for.get()


def named() -> str | None:
    """The backend that was asked for, by ``use_backend`` or the environment; None: the best."""
    return _asked_for.get() or _environment


def backends() -> dict[str, Status]:
    """Every backend with its status and the reason for it."""
    return {name: status(name) for name in BACKENDS}


@cache
def status(name: str) -> Status:
    """Whether a backend can run here, and why."""
    if name == "numpy":
        return Status(True, f"NumPy {np.__version__}, the reference")
    if name == "native":
        try:
            native = importlib.import_module("backhand._native")
        except ImportError as error:
            return Status(
                False,
                f"the compiled module is missing ({error}); install a C++ compiler and "
                "reinstall with BACKHAND_NATIVE=1",
            )
        return Status(True, f"compiled by {native.compiler}")
    if name == "numba":
        try:
            numba = importlib.import_module("numba")
        except ImportError as error:
            return Status(False, f"numba is missing ({error}); pip install 'backhand[numba]'")
        return Status(True, f"Numba {numba.__version__}; compiles at the first call, then cached")
    return _cuda() if name == "cuda" else _emulated()


def _cuda() -> Status:
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        return Status(False, f"CuPy is missing ({error}); pip install 'backhand[cuda12]'")
    try:
        devices = int(cupy.cuda.runtime.getDeviceCount())
    except Exception as error:  # CuPy's own; importing its class would need CuPy
        return Status(False, f"CuPy {cupy.__version__} finds no GPU ({error})")
    if devices == 0:
        return Status(False, f"CuPy {cupy.__version__} finds no GPU")
    return Status(True, f"CuPy {cupy.__version__}, {devices} device(s); compiles at the first call")


def _emulated() -> Status:
    try:
        compiler = importlib.import_module("backhand.kernels.emulator").library().compiler
    except ImportError as error:
        return Status(
            False,
            f"the emulator is missing ({error}); install g++ or clang++ (not on Windows) and "
            "reinstall with BACKHAND_NATIVE=1",
        )
    return Status(True, f"the CUDA kernels on the CPU, compiled by {compiler}: for checks, slow")


def require(name: str, origin: str = "") -> None:
    """Raise ValueError for an unknown backend, BackendUnavailable for a missing one."""
    if name not in BACKENDS:
        raise ValueError(f"unknown backend {name!r}{origin}; there are {', '.join(BACKENDS)}")
    available, reason = status(name)
    if not available:
        raise BackendUnavailable(f"backend {name!r}{origin} is not available: {reason}")


def is_device_array(x: object) -> bool:
    """True for arrays that live on a GPU (they carry ``__cuda_array_interface__``)."""
    return not isinstance(x, np.ndarray) and hasattr(x, "__cuda_array_interface__")


def _must_be_cupys(op: str, x: object) -> None:
    module = type(x).__module__.partition(".")[0]
    if module != "cupy":
        raise TypeError(
            f"{op}: got {module}'s {type(x).__name__} on a GPU; bh.to_device(x) makes a CuPy array "
            "of it, without a copy"
        )


def _on_the_host(arrays: tuple[Any, ...]) -> bool:
    """Whether all are real NumPy arrays, or None."""
    for a in arrays:  # all() takes three times as long
        if type(a) is np.ndarray:
            if a.dtype.kind == "c":
                return False
        elif a is not None:
            return False
    return True


def all_ops() -> list[ModuleType]:
    """Every kernel package, each with its ``OP``."""
    package = importlib.import_module("backhand.kernels")
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__) if info.ispkg)
    return [importlib.import_module(f"backhand.kernels.{name}") for name in names]


class Op:
    """The backends of one op family: ``Op(__name__, numpy="reference", native="native")``."""

    def __init__(self, package: str, **modules: str) -> None:
        self.package = package
        self.name = package.rpartition(".")[2]
        self.modules = modules
        self._loaded: dict[str, ModuleType] = {}
        self._best: str | None = None

    def resolve(self, backend: str | None, *arrays: Any) -> str:
        """Name of the backend that will run; complex arrays always run the reference."""
        if _on_the_host(arrays):  # the usual calls, in a fifth of the time
            if backend is not None and backend != "cuda" and backend in self._loaded:
                return backend
            if backend is None and _asked_for.get() is None and _environment is None:
                return self._best or self._find_best()
        on_device = False
        for a in arrays:
            dtype = getattr(a, "dtype", None)
            if dtype is None:
                continue
            if dtype.kind == "c":
                return "numpy"
            if is_device_array(a):
                on_device = True
                _must_be_cupys(self.name, a)
        asked = backend or _asked_for.get()
        name = asked or ("cuda" if on_device else _environment)
        if on_device != (name == "cuda"):
            raise BackendUnavailable(
                f"{self.name}: backend {name!r} and arrays in "
                f"{'device' if on_device else 'host'} memory do not go together"
            )
        if name is None:
            return self.best()
        require(name, "" if asked else " (from the variable BACKHAND_BACKEND)")
        if name not in self.modules:
            raise BackendUnavailable(
                f"{self.name} has no {name} form, only {', '.join(self.modules)}; "
                "leave the backend out to take the best one per op"
            )
        return name

    def best(self) -> str:
        return next(n for n in CPU_ORDER if n in self.modules and status(n).available)

    def pick(self, backend: str | None, *arrays: Any) -> ModuleType:
        """The module that will run."""
        name = backend
        if name is None and _asked_for.get() is None and _environment is None:
            name = self._best
        module = self._loaded.get(name)  # type: ignore[arg-type]
        if module is not None and name != "cuda" and _on_the_host(arrays):
            return module  # the usual calls, in a third of the time
        return self.implementation(self.resolve(backend, *arrays))

    def compiled(self, backend: str | None) -> ModuleType | None:
        """The native module where it would run on the host, for a call that checks in C++."""
        name = backend
        if name is None and _asked_for.get() is None and _environment is None:
            name = self._best
        return self._loaded.get("native") if name == "native" else None

    def _find_best(self) -> str:
        self._best = self.best()
        return self._best

    def implementation(self, name: str) -> ModuleType:
        module = self._loaded.get(name)
        if module is None:
            module = importlib.import_module(f"{self.package}.{self.modules[name]}")
            self._loaded[name] = module
        return module
