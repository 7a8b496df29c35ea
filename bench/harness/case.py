"""What a case says, and where the cases are."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from backhand._types import Array
from backhand.backend import CPU_ORDER, status

Inputs = dict[str, Array]
Step = Callable[[], Mapping[str, Any]]  # does the work once; its results by name
Make = Callable[[Inputs], Step]

BEST_PEER = "best peer"
PARITY = 0.95  # "as fast as": a ratio of medians of at least this
FRAMEWORKS = ("torch", "jax")
MIXED = "mixed"  # the best backend of each op, where they differ


@dataclass(frozen=True)
class Case:
    """One piece of work at one size, and everyone who does it.

    ``implementations`` maps names to functions (inputs) -> step.  A name that begins with
    "backhand" runs once for each backend that all of ``ops`` have, and is ours; "torch...",
    "jax..." are peers; the first word is the process it runs in.  "numpy ..." and the like are
    forms that are shown for comparison.
    """

    name: str
    sizes: Mapping[str, int]
    inputs: Callable[[np.random.Generator], Inputs]  # float32 and integer arrays
    implementations: Mapping[str, Make]
    ops: Sequence[str]  # the kernels that the work is made of: backhand.kernels.<op>
    samples: int  # per step, for samples per second
    products: Sequence[tuple[int, int, int]] = ()  # (M, K, N) of each matrix product
    traffic: float = 0  # bytes: the least that must be read and written
    footprint: float = 0  # bytes of all arrays, where less: some are written in place
    transcendentals: float = 0  # exp, log, tanh, ...
    floors: Mapping[str, float] = field(default_factory=dict)  # at two threads: {"best peer": 2.0}
    quick: bool = False  # part of --quick
    training: bool = False  # a training step: peak memory and the split of our time belong to it
    steps: int = 1  # so many steps in a row must agree
    tolerance: float = 2e-5  # of the largest entry of each result, against float64
    tolerances: Mapping[str, float] = field(default_factory=dict)  # of results that need their own
    pool: str = "kernels"  # which of our pools gets the threads: "kernels", "blas" or "parts"

    @property
    def flops(self) -> float:
        return float(sum(2 * m * k * n for m, k, n in self.products))


class Found(NamedTuple):
    """A case and the module that it is in."""

    case: Case
    module: str
    file: str


class Implementation(NamedTuple):
    """One column of the report: ``label`` runs ``key`` of the case in the process ``group``."""

    label: str
    key: str
    group: str
    ours: bool

    @property
    def form(self) -> str:
        """Of ours: "" for the default form, "workspace" for "backhand workspace"."""
        return self.key.partition(" ")[2] if self.ours else ""

    @property
    def framework(self) -> str | None:
        """torch or jax for a peer, None for our own."""
        first = self.group.partition(".")[0]
        return first if first in FRAMEWORKS else None


def all_cases() -> list[Found]:
    """Every case of every file in bench/."""
    package = importlib.import_module("backhand.bench")
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__) if not info.ispkg)
    found: list[Found] = []
    for name in names:
        found += cases_of(importlib.import_module(f"backhand.bench.{name}"))
    return found


def cases_of(module: Any) -> list[Found]:
    """The cases of one file; a script that measures something else has none."""
    cases = getattr(module, "CASES", ())
    return [Found(case, module.__name__, module.__file__) for case in cases]


def select(found: Sequence[Found], names: Sequence[str], quick: bool) -> list[Found]:
    """Cases by their names, or all of a file by its name; without names all, or the quick ones."""
    files = [f.module.rpartition(".")[2] for f in found]
    for name in names:
        if name not in files and name not in (f.case.name for f in found):
            known = dict.fromkeys([*(f.case.name for f in found), *files])
            raise ValueError(f"unknown case {name!r}; there are {', '.join(known)}")
    if names:
        return [f for f, file in zip(found, files, strict=True) if {f.case.name, file} & set(names)]
    return [f for f in found if f.case.quick or not quick]


def own_backends(case: Case) -> list[str]:
    """The backends that can do the whole case here; "mixed" where the best of each op differ."""
    ops = [importlib.import_module(f"backhand.kernels.{op}").OP for op in case.ops]
    able = [b for b in CPU_ORDER if status(b).available and all(b in op.modules for op in ops)]
    best = {op.best() for op in ops}
    return [*([MIXED] if len(best) > 1 else []), *able]


def implementations(
    case: Case, frameworks: Sequence[str], backend: str | None = None, quick: bool = False
) -> list[Implementation]:
    """All that will be measured: of ours one backend or all, of the peers those asked for.

    ``quick`` leaves our NumPy out where there is another backend.
    """
    able = own_backends(case)
    if backend is not None and backend not in able:
        raise ValueError(f"{case.name} has no {backend} form here, only {', '.join(able)}")
    if quick and len(able) > 1:
        able.remove("numpy")
    found: list[Implementation] = []
    for key in case.implementations:
        first, _, rest = key.partition(" ")
        if first == "backhand":
            for name in [backend] if backend else able:
                found.append(Implementation(f"{name} {rest}".strip(), key, name, True))
        else:
            found.append(Implementation(key, key, first, False))
    return [i for i in found if i.framework is None or i.framework in frameworks]
