"""Layers, functions and models seen alike: some arrays in, some out, and a way back.

Under ``use_backend("cuda")`` they run on the GPU; what goes in and comes out is on the host.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from backhand._types import Array, DType
from backhand.backend import asked_for
from backhand.device import to_device, to_host
from backhand.grads import NO_GRAD, Grads, grads_like
from backhand.model import Batch, Bound, Weights
from backhand.noise import Noise
from backhand.params import is_leaf, leaves, over, table_of


class BrokenContract(Exception):
    """The backward cannot be called, or does not answer, as the contract says."""


class Pass(NamedTuple):
    """One forward: its outputs, the very arrays it was given, and its backward."""

    outputs: list[Array]
    arrays: list[Array]
    pull: Callable[[list[Array], Any], list[Array | None]]  # (cotangents, g) -> input gradients


class Subject(Protocol):
    """``values`` are all float inputs, then all parameters; ``checked`` those to be certified."""

    name: str
    kind: str
    names: list[str]
    values: list[Array]  # float64
    inputs: int  # how many of them are inputs
    checked: list[int]
    dtypes: set[DType]  # that the arrays had

    def run(self, values: Sequence[Array]) -> Pass: ...

    def twin(self, dtype: Any = np.float64) -> Any: ...


def gradients(subject: Subject, run: Pass, cotangents: list[Array], g: Any) -> list[Array | None]:
    """The gradient of every value, by one call of the backward; ``g`` from ``subject.twin()``."""
    d_inputs = run.pull(cotangents, g)
    if isinstance(g, Grads):
        g.flush()
        return d_inputs + [
            to_host(g.params[name]).copy() for name in subject.names[subject.inputs :]
        ]
    return d_inputs


class CallSubject:
    """``*outputs, backward = f(*inputs)``: a layer, a function, or a method of a layer."""

    def __init__(
        self, f: Any, inputs: Sequence[Any], wrt: Sequence[str] | None, name: str | None, kind: str
    ) -> None:
        self.method = f.__name__ if inspect.ismethod(f) else "__call__"
        self.tree = f.__self__ if inspect.ismethod(f) else f
        self.name: str = name or getattr(f, "__name__", None) or type(f).__name__
        self.table = table_of(self.tree) if any(True for _ in leaves(self.tree)) else ()
        self.kind = kind or ("layer" if dataclasses.is_dataclass(self.tree) else "op")
        self.template = tuple(inputs)
        self.slots = [
            item
            for label, value in zip(_argument_names(f, len(inputs)), inputs, strict=True)
            for item in flatten(value, label)
        ]
        floats = [(label, np.asarray(leaf)) for label, leaf in self.slots if is_real(leaf)]
        held = [*floats, *leaves(self.tree)]
        self.inputs = len(floats)
        self.names = [label for label, _ in held]
        self.values = [value.astype(np.float64) for _, value in held]
        self.dtypes = {value.dtype for _, value in held}
        self.checked = select(self.names, wrt)

    def run(self, values: Sequence[Array]) -> Pass:
        # The code may write into its own.
        arrays = [_placed(np.array(v)) for v in values[: self.inputs]]
        fresh = iter(arrays)
        given = unflatten(
            self.template, iter([next(fresh) if is_real(v) else _placed(v) for _, v in self.slots])
        )
        tree = self.tree
        if self.table:
            vector = _placed(np.concatenate([v.reshape(-1) for v in values[self.inputs :]]))
            tree, params = over(self.tree, self.table, vector)
            arrays += [params[entry.name] for entry in self.table]
        result = getattr(tree, self.method)(*given)
        if not isinstance(result, tuple) or len(result) < 2 or not callable(result[-1]):
            raise TypeError(f"{self.name} must return (y, ..., backward), got {_kind_of(result)}")
        top, backward = result[:-1], result[-1]
        outputs = flatten(top, "y")
        for label, y in outputs:
            if not is_leaf(y):
                kind = _kind_of(y)
                raise TypeError(f"{self.name}: output {label} must be a float array, got {kind}")
        call = self._bind(backward, top, len(outputs))
        ys = [to_host(y) for _, y in outputs]

        def pull(cotangents: list[Array], g: Any) -> list[Array | None]:
            found = self._align(call([_placed(d) for d in cotangents], g))
            return [d if d is None else to_host(d) for d in found]

        return Pass(ys, arrays, pull)

    def twin(self, dtype: Any = np.float64) -> Any:
        if not self.table:
            return NO_GRAD
        size = self.table[-1].offset + self.table[-1].size
        return grads_like(over(self.tree, self.table, _placed(np.zeros(size, dtype)))[0])

    def _bind(self, backward: Any, top: tuple[Any, ...], flat: int) -> Callable[..., Any]:
        """A call of ``backward`` with as many arguments as its signature asks for."""
        parameters = inspect.signature(backward).parameters
        needed = sum(
            p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
            for p in parameters.values()
        )
        options = {"keep": True} if "keep" in parameters else {}
        any_number = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
        counts = (len(top), flat)  # an output that is a tuple may have its cotangents one by one
        forms = [(n + takes_g, n == len(top), takes_g) for n in counts for takes_g in (0, 1)]
        fitting = [form for form in forms if any_number or form[0] == needed]
        if not fitting:
            raise BrokenContract(
                f"backward needs {needed} arguments; {flat} outputs ask for as many, and g"
            )
        # Two forms can fit then: a layer's backward takes g.
        _, structured, takes_g = min(fitting, key=lambda form: form[2] != bool(self.table))
        if self.table and not takes_g:
            names = ", ".join(entry.name for entry in self.table)
            raise BrokenContract(f"backward takes no g: no gradient can reach {names}")
        if takes_g and not self.table and not dataclasses.is_dataclass(self.tree):
            raise TypeError(
                f"{self.name}: backward takes g but {self.name} holds no parameters; "
                "check the layer itself (a dataclass), or its bound method"
            )

        def call(cotangents: list[Array], g: Any) -> Any:
            given = unflatten(top, iter(cotangents)) if structured else tuple(cotangents)
            return backward(*given, *([g] if takes_g else []), **options)

        return call

    def _align(self, returned: Any) -> list[Array | None]:
        """The returned gradients by float input; None for one that was not asked for."""
        got = [leaf for _, leaf in flatten(returned, "")]
        found = [leaf for leaf in got if leaf is not None]
        asked = [i for i in self.checked if i < self.inputs]
        if len(got) == self.inputs:
            return got
        if len(got) == len(self.slots):
            return [d for d, (_, value) in zip(got, self.slots, strict=True) if is_real(value)]
        if len(found) == self.inputs:
            return found
        if len(found) == len(asked):
            by_input = dict(zip(asked, found, strict=True))
            return [by_input.get(i) for i in range(self.inputs)]
        names = ", ".join(self.names[: self.inputs])
        raise BrokenContract(
            f"backward returned {len(found)} gradients for the float inputs {names}; "
            "wrt= names the ones to check where some are data"
        )


def kernel(op: Any) -> Callable[..., Any]:
    """A kernel package as a function for ``gradcheck``: ``y, ..., backward = kernel(op)(...)``."""

    def call(*inputs: Any) -> tuple[Any, ...]:
        *outputs, saved = op.forward(*inputs)
        return *outputs, lambda *cotangents: op.backward(*cotangents, saved)

    call.__name__ = op.OP.name
    call.__signature__ = inspect.signature(op.forward)  # type: ignore[attr-defined]
    return call


class ModelSubject:
    """The objective, (B,), of the Bound that ``method`` returns, by the model's parameters."""

    inputs = 0

    def __init__(
        self, model: Any, batch: Batch, noise: Noise, k: int, weights: Weights,
        wrt: Sequence[str] | None, name: str | None, kind: str, method: str = "bound",
    ) -> None:  # fmt: skip
        plain = type(model).__name__
        if not callable(getattr(model, method, None)):
            raise ValueError(f"method={method!r}: {plain} has no method of that name")
        self.name = name or (plain if method == "bound" else f"{plain}.{method}")
        self.kind = kind
        self.model = model
        self.method = method
        floats = {n: v.astype(np.float64) for n, v in batch._asdict().items() if is_real(v)}
        self.batch = batch._replace(**floats)
        self.settings = (noise, k, weights)
        self.names = [entry.name for entry in model.params.table]
        self.values = [model.params[name].astype(np.float64) for name in self.names]
        self.dtypes = {self.values[0].dtype}
        self.checked = select(self.names, wrt)

    def _over(self, values: Sequence[Array]) -> Any:
        return self.model.over(_placed(np.concatenate([v.reshape(-1) for v in values])))

    def run(self, values: Sequence[Array]) -> Pass:
        model = self._over(values)
        noise, k, weights = self.settings
        batch = Batch(*map(_placed, self.batch))
        bound = getattr(model, self.method)(batch, noise, k, weights)
        if not isinstance(bound, Bound):
            raise TypeError(
                f"{self.name}: method {self.method!r} must return one Bound, got {_kind_of(bound)}"
            )

        def pull(cotangents: list[Array], g: Any) -> list[Array | None]:
            bound.backward(_placed(cotangents[0]), g=g, keep=True)
            return []

        return Pass([to_host(bound.objective)], [model.params[name] for name in self.names], pull)

    def twin(self, dtype: Any = np.float64) -> Any:
        return grads_like(self._over([v.astype(dtype) for v in self.values]))


def _placed(x: Any) -> Any:
    return to_device(x) if hasattr(x, "dtype") and asked_for() == "cuda" else x


def is_real(value: Any) -> bool:
    return is_leaf(value) and value.dtype.kind == "f"


def flatten(value: Any, label: str) -> list[tuple[str, Any]]:
    """(name, leaf) of nested tuples and lists, depth first; None is a leaf."""
    if not isinstance(value, tuple | list):
        return [(label, value)]
    fields = getattr(value, "_fields", [str(i) for i in range(len(value))])
    pairs = zip(fields, value, strict=True)
    return [item for name, v in pairs for item in flatten(v, f"{label}.{name}" if label else name)]


def unflatten(template: Any, values: Iterator[Any]) -> Any:
    """The nesting of ``template`` around other leaves."""
    if not isinstance(template, tuple | list):
        return next(values)
    inside = [unflatten(v, values) for v in template]
    return type(template)(*inside) if hasattr(template, "_fields") else type(template)(inside)


def select(names: list[str], wrt: Sequence[str] | None) -> list[int]:
    """Positions of what is to be checked: a name of ``wrt`` also stands for what lies below it."""
    if not names:
        raise ValueError("nothing to check: no float array among the inputs, and no parameters")
    if wrt is None:
        return list(range(len(names)))
    wanted = [wrt] if isinstance(wrt, str) else list(wrt)
    for name in wanted:
        if not any(_below(n, name) for n in names):
            raise ValueError(f"wrt: no input or parameter {name!r}; there are {', '.join(names)}")
    return [i for i, n in enumerate(names) if any(_below(n, name) for name in wanted)]


def _below(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def _argument_names(f: Any, count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # a builtin
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return (names + [f"input{i}" for i in range(len(names), count)])[:count]


def _kind_of(value: Any) -> str:
    inside = f" of {len(value)}" if isinstance(value, tuple) else ""
    return f"{type(value).__name__}{inside}"
