"""Where the time of our training step goes: products, other kernels, Python, and memory.

Steps run with a clock in each compiled entry point and each product of NumPy; Python's is the time
between those calls, NumPy's other operations and the clocks themselves in it.  Layers that are
compiled as a whole are a kind of their own; the products in them are also timed alone afterwards.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from backhand.backend import status
from backhand.bench.harness.case import Step
from backhand.grads import Accumulator
from backhand.kernels.matrix_product import reference

SECONDS, FEWEST = 2.0, 5  # steps
ALONE = 0.02  # seconds for each product alone
NOT_WORK = "threads"  # of the compiled module: its pool

KINDS = ("products", "layers", "kernels")  # layers: products with bias and activation
Function = Callable[..., Any]
Product = tuple[str, int, int, int]  # function of matrix_product; rows, K, N


def measure(step: Step) -> dict[str, float]:
    """Seconds of a step on one thread, page faults and calls.

    ``products`` + ``layers`` + ``kernels`` + ``python`` = ``seconds``.  ``system`` is a part of all
    four, ``products_of_layers`` what the products in ``layers`` take at least, in warm caches.
    """
    step()  # loads what is not loaded yet
    clock = Clock()
    clock.watch(step)
    clock.inside.clear()
    watched: list[dict[str, float]] = []
    before, end = _usage(), time.perf_counter() + SECONDS
    while len(watched) < FEWEST or time.perf_counter() < end:
        watched.append(clock.watch(step))
    n = len(watched)
    system, faults = ((b - a) / n for a, b in zip(before, _usage(), strict=True))
    spent = {kind: statistics.median(w[kind] for w in watched) for kind in (*KINDS, "python")}
    inside = sum(_alone(*product) * count for product, count in clock.inside.items()) / n
    return {
        "seconds": sum(spent.values()), **spent, "products_of_layers": inside,
        "system": system, "page_faults": faults, "calls": watched[0]["calls"],
    }  # fmt: skip


def _usage() -> tuple[float, float]:
    """Seconds in the system, and page faults that read nothing."""
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_stime, usage.ru_minflt


class Clock:
    """Seconds inside functions, by kind; ``inside``: the products within compiled layers."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.running = False  # a function that another one calls is in that one's time
        self.inside: Counter[Product] = Counter()
        self.places = _places({f: self.timed(f, kind) for f, kind in entry_points()})

    def timed(self, f: Function, kind: str) -> Function:
        def clocked(*args: Any, **named: Any) -> Any:
            if self.running:
                return f(*args, **named)
            self.running = True
            start = time.perf_counter()
            try:
                result = f(*args, **named)
            finally:  # C++ may refuse what it is given, and Python go on
                self.spent[kind] += time.perf_counter() - start
                self.spent["calls"] += 1
                self.running = False
            if kind == "layers":
                self.inside.update(_products(f.__name__, args))
            return result

        return clocked

    def watch(self, step: Step) -> dict[str, float]:
        """One step with the clocks in: seconds by kind, the rest as ``python``; ``calls``."""
        self.spent, self.running = defaultdict(float), False
        try:
            for owner, name, _, clocked in self.places:
                setattr(owner, name, clocked)
            start = time.perf_counter()
            step()
            seconds = time.perf_counter() - start
        finally:
            for owner, name, original, _ in self.places:
                setattr(owner, name, original)
        self.spent["python"] = seconds - sum(self.spent[kind] for kind in KINDS)
        return self.spent


def entry_points() -> list[tuple[Function, str]]:
    """What is not Python, and its kind."""
    numpys = (reference.times, reference.times_transposed, reference.outer, np.matmul)
    # The product of a weight gradient, and its addition to the others of a step.
    found: list[tuple[Function, str]] = [(f, "products") for f in (*numpys, Accumulator._product)]
    if not status("native").available:
        return found
    kinds = {"matrix_product": "products", "dense": "layers"}
    for op, module in vars(_native()).items():
        if isinstance(module, ModuleType) and op != NOT_WORK:
            functions = [f for f in vars(module).values() if callable(f)]
            found += [(f, kinds.get(op, "kernels")) for f in functions]
    return found


def _places(clocked: dict[Function, Function]) -> list[tuple[Any, str, Function, Function]]:
    """Every name that a module of the library, or NumPy, has for one of the functions."""
    by_id = {id(f): other for f, other in clocked.items()}
    titles = [t for t in sys.modules if t.partition(".")[0] == "backhand" or t == "numpy"]
    return [
        (owner, name, value, by_id[id(value)])
        for owner in (*(sys.modules[title] for title in titles), Accumulator)
        for name, value in list(vars(owner).items())
        if id(value) in by_id
    ]


def _native() -> Any:
    from backhand import _native

    return _native


def _products(name: str, args: Sequence[Any]) -> list[Product]:
    """Those of one call: forward(x, Ws, ...), or backward(dy, x, Ws, ..., need_x)."""
    forward = name.startswith("forward")
    x, Ws = args[:2] if forward else args[1:3]
    rows = x.size // x.shape[-1]
    if forward:
        return [("times", rows, *W.shape) for W in Ws]
    back = Ws if args[-1] else Ws[1:]
    found = [("outer", rows, *W.shape) for W in Ws]
    return found + [("times_transposed", rows, *W.shape) for W in back]


def _alone(function: str, rows: int, k: int, n: int) -> float:
    """Seconds of one product of ours."""
    rng = np.random.default_rng(0)
    shapes = {"x": (rows, k), "dy": (rows, n), "W": (k, n)}
    a = {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    names = {"times": "xW", "times_transposed": ("dy", "W"), "outer": ("x", "dy", "W")}
    f, arguments = getattr(_native().matrix_product, function), [a[i] for i in names[function]]
    times: list[float] = []
    end = time.perf_counter() + ALONE
    while len(times) < FEWEST or time.perf_counter() < end:
        start = time.perf_counter()
        f(*arguments)
        times.append(time.perf_counter() - start)
    return statistics.median(times)
