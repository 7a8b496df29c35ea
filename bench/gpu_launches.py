"""What training steps and ops launch on a GPU: kernels, calls of the array module, copies.

They run on the tests' stand-in for CuPy (tests/device, so from the root of the repository), at the
sizes of the recipes.  Kernels and products are noted and not run: what they would write becomes
zero, and what is launched next depends on no value.  A call of the array module that makes a view
is nothing, any other is one launch: CuPy may make several of an argsort or a concatenation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

import backhand as bh
from backhand.bench.gpu_work import UPDATED, extent, kernel_bytes, kernel_operations, parameters
from backhand.bench.harness.case import all_cases
from backhand.config import DataConfig, TrainConfig, read_toml
from backhand.data import load
from backhand.kernels import cuda_device, filterbank, gaussian_density, philox
from backhand.models import model_class
from backhand.presets import config_file

STEPS = {  # name: (model, recipe or "" for what the model is without one, what differs from it)
    "VAE": ("vae", "", {}),
    "DVAE": ("dvae", "dvae-paper", {}),
    "DVAE, faces": ("dvae", "dvae-frey", {}),
    "IWAE, k = 50": ("iwae", "iwae-paper", {}),
    "IWAE, 2 layers, k = 50": ("iwae", "iwae-paper-two-layers", {}),
    "glimpses, T = 8": ("glimpses", "glimpses-short", {}),
    "DRAW, T = 8": ("draw", "draw-paper", {"glimpses": 8}),
    "DRAW, T = 64": ("draw", "draw-paper", {}),
}
ALONE = ("causal_conv_text", "embedding", "linear_cross_entropy", "softmax_cross_entropy")


class Event(NamedTuple):
    """One launch, call of the array module, or copy to or from the host."""

    kind: str  # kernel, product, array, in, out
    name: str
    bytes: int = 0
    floats: float = 0  # operations
    doubles: float = 0
    blocks: int = 0
    threads: int = 0
    shared: int = 0  # bytes of dynamic shared memory
    numbers: tuple[tuple[str, Any], ...] = ()  # arguments that are no arrays


@contextmanager
def recorded(run: bool = False) -> Iterator[tuple[Any, list[Event]]]:
    """(the stand-in for CuPy, the events so far) in the block of code; run: run the kernels too."""
    double, array = (import_module(f"tests.device.{name}") for name in ("double", "array"))
    events: list[Event] = []
    launch = cuda_device.launch
    with double.installed() as cupy:
        methods = [*array.VIEWS, *array.METHODS, "get", "__getitem__", "__setitem__"]
        methods += [f"__{p}{name}__" for name in array.OPERATORS for p in ("", "r", "i")]
        methods += [f"__{name}__" for name in (*array.COMPARISONS, *array.UNARY)]
        plain = {name: getattr(cupy.ndarray, name) for name in methods}
        shares, zeros = cupy.may_share_memory, cupy.zeros

        def product(a: Any, b: Any) -> Any:
            if run or min(a.ndim, b.ndim) < 2:
                return plain["__matmul__"](a, b)
            outer = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
            return zeros((*outer, a.shape[-2], b.shape[-1]), a.dtype)

        def noted(name: str, call: Any) -> Any:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                out = call(*args, **kwargs)
                event = _array_event(name, args, kwargs, out, cupy.ndarray, shares, plain)
                events.extend([event] if event else [])
                return out

            return wrapped

        def note_launch(op: str, kernel: str, *rest: Any) -> None:
            events.append(_kernel_event(op, kernel, *rest))
            if run:
                return launch(op, kernel, *rest)
            for p, value in zip(parameters(op, kernel), rest[4], strict=True):
                updated = p.name in UPDATED.get(kernel, "").split()
                if p.pointer and not p.constant and value is not None and not updated:
                    plain["fill"](value, 0)

        for name, call in plain.items():
            setattr(cupy.ndarray, name, noted(name, product if name == "__matmul__" else call))
        for name in (*double.UFUNCS, *double.FUNCTIONS, *double.NEW):
            setattr(cupy, name, noted(name, getattr(cupy, name)))
        for name in ("array", "asarray", "ascontiguousarray"):
            setattr(cupy, name, noted(name, getattr(cupy, name)))
        cuda_device.launch = note_launch  # type: ignore[assignment]
        try:
            yield cupy, events
        finally:
            cuda_device.launch = launch
            for name, call in plain.items():
                setattr(cupy.ndarray, name, call)


def _kernel_event(
    op: str, kernel: str, real: str, grid: tuple[int, ...], block: tuple[int, ...], shared: int,
    values: Sequence[Any], device: int,
) -> Event:  # fmt: skip
    arguments = {p.name: v for p, v in zip(parameters(op, kernel), values, strict=True)}
    work = kernel_operations(op, kernel, arguments, grid[1], block[1])
    numbers = tuple((p.name, arguments[p.name]) for p in parameters(op, kernel) if not p.pointer)
    sizes = math.prod(grid), math.prod(block), shared
    return Event("kernel", kernel, kernel_bytes(op, kernel, arguments), *work, *sizes, numbers)


def _array_event(
    name: str, args: Any, kwargs: Any, out: Any, ndarray: Any, shares: Any, plain: Any
) -> Event | None:
    """None for a view: what a call makes is counted, once, whatever CuPy launches for it."""
    given = {id(x): x for x in args if isinstance(x, ndarray)}
    for group in (x for x in args if isinstance(x, list | tuple)):
        given |= {id(x): x for x in group if isinstance(x, ndarray)}
    if name == "get":
        return Event("out", name, extent(args[0]))
    if name in ("array", "asarray") and not given:
        return Event("in", name, extent(out))
    if name == "__setitem__":
        out = plain["__getitem__"](*args[:2])
        value = args[2]
        if isinstance(value, ndarray) and value.shape == out.shape and shares(value, out):
            return None  # x[i] += y: the sum is there already
        given.pop(id(args[0]))
    in_place = name in ("fill", "__setitem__") or name.startswith("__i") or "out" in kwargs
    if name == "fill":
        out, given = args[0], {}
    if not isinstance(out, ndarray):
        return None  # split: views
    if not in_place and any(shares(x, out) for x in given.values()):
        return None
    read = sum(extent(out if name == "__getitem__" else x) for x in given.values())
    if name in ("__matmul__", "matmul", "dot"):
        operations = 2.0 * out.size * args[0].shape[-1]
        return Event("product", name, read + extent(out), operations)
    return Event("array", name, read + extent(out))


def configured(model: str, recipe: str, changes: dict[str, Any]) -> tuple[Any, TrainConfig, str]:
    """The model's and the training's configuration, and the name of the data."""
    tables = {"model": model_class(model).Config(), "training": TrainConfig(), "data": DataConfig()}
    if recipe:
        tables = read_toml(config_file(recipe), tables, model)
    return replace(tables["model"], **changes), tables["training"], tables["data"].name or "mnist"


def prepared(
    model: str, recipe: str, changes: dict[str, Any], **training: Any
) -> tuple[Any, Any, TrainConfig]:
    """A model, five batches of made-up data and how it is trained, at the recipe's sizes."""
    config, trained, name = configured(model, recipe, changes)
    settings: dict[str, Any] = {"epochs": 1, "threads": 1, "backend": "cuda"} | training
    trained = replace(trained, **settings)
    x = np.zeros((5 * trained.batch, 28, 20 if name == "frey-faces" else 28), np.float32)
    x[::2] = 1 if name == "mnist-static" else 0.5
    given: Any = x
    if model == "glimpses":
        given = {"x": x, "y": (np.arange(len(x)) % 10).astype(np.uint8)}
    elif model == "dvae" and name == "mnist":  # binarised once
        given = np.ceil(x)
    dynamic = name == "mnist" and model in ("vae", "iwae")
    data = load(given, binarisation="dynamic" if dynamic else None, valid=1)
    made = model_class(model).create(config, data.spec, data.train.x, dtype="float32")
    return made, data, trained


def training_steps(
    *step: Any, run: bool = False, **training: Any
) -> tuple[list[Event], list[Event]]:
    """The events of two steps of ``bh.fit`` in a row: an epoch's second and third of five."""
    made, data, trained = prepared(*step, **training)
    marks: list[int] = []

    def report(_: dict[str, Any]) -> bool:
        marks.append(len(events))
        return len(marks) == 3

    with recorded(run) as (_, events):
        bh.fit(made, data, replace(trained, steps=4), report=report)
    return events[marks[0] : marks[1]], events[marks[1] : marks[2]]


def ops() -> dict[str, list[Event]]:
    """The events of ops that no step has: cases of the benchmark, and calls at a model's sizes."""
    rng, made = np.random.default_rng(0), {}
    with recorded() as (cupy, events):
        for found in all_cases():
            if found.case.name in ALONE:
                given = {n: cupy.asarray(x) for n, x in found.case.inputs(rng).items()}
                found.case.implementations["backhand"](given)()
                made[found.case.name], events[:] = list(events), []
        x, mean, logvar = (cupy.zeros(s, np.float32) for s in ((20, 784), (50, 20, 784), 784))
        for spread in (logvar, mean):
            logp, kept = gaussian_density.forward(x, mean, spread)
            gaussian_density.backward(logp, kept)
        F_Y, F_X, gamma, saved = filterbank.forward(cupy.zeros((100, 5), np.float32), 5, 28, 28)
        filterbank.backward(F_Y, F_X, gamma, saved)
        philox.integers((0, 0), cupy.arange(100), 0, 784)
        made["alone"] = list(events)
    return made
