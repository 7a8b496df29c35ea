"""Layers, one after the other: affine maps, each with its activation.

    y = f(x W + b)
    da = dy f'(x W + b),   db = sum over the leading axes of da,   dW = x^T da,   dx = da W^T

x (..., I), W (I, O), b (O,), y (..., O); x of a layer is y of the one before.  Each f is one of
bias_activation.ACTIVATIONS.  Saved: the first x, and W and y of each.  Derivation: DERIVATION.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from backhand._types import Array, DType, Shape
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.bias_activation.reference import ACTIVATIONS
from backhand.kernels.dense.reference import Saved
from backhand.outputs import check_written, kept

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(
    x: Array, W: Array, b: Array, activation: str, *, backend: str | None = None
) -> tuple[Array, Saved]:
    """y (..., O) and what the backward needs."""
    return forward_layers(x, (W,), (b,), (activation,), backend=backend)


def backward(
    dy: Array, saved: Saved, *, dW: Array | None = None, db: Array | None = None,
    need_x: bool = True, backend: str | None = None,
) -> tuple[Array | None, Array, Array]:  # fmt: skip
    """(dx, dW, db); dW (I, O) and db (O,) are written into the arrays that are given for them."""
    dWs, dbs = None if dW is None else (dW,), None if db is None else (db,)
    dx, (dW,), (db,) = backward_layers(dy, saved, dWs=dWs, dbs=dbs, need_x=need_x, backend=backend)
    return dx, dW, db


def forward_layers(
    x: Array, Ws: Sequence[Array], bs: Sequence[Array], activations: Sequence[str], *,
    backend: str | None = None,
) -> tuple[Array, Saved]:  # fmt: skip
    """y of the last layer and what the backward needs; a W, b and f for each, in their order."""
    run = OP.compiled(backend)
    if run is not None and (found := run.unchecked(x, Ws, bs, activations)) is not None:
        return kept(found[0]), found[1]
    check_layers("dense", x, Ws, bs, activations)
    y, saved = OP.pick(backend, x, *Ws, *bs).forward(x, Ws, bs, activations)
    return kept(y), saved


def backward_layers(
    dy: Array, saved: Saved, *, dWs: Sequence[Array] | None = None,
    dbs: Sequence[Array] | None = None, need_x: bool = True, backend: str | None = None,
) -> tuple[Array | None, Sequence[Array], Sequence[Array]]:  # fmt: skip
    """(dx, dWs, dbs), the latter two written into the arrays that are given for them."""
    run = OP.compiled(backend)
    if run is not None:
        found = run.unchecked_backward(dy, saved, dWs, dbs, need_x)
        if found is not None:
            return found  # type: ignore[no-any-return]
    check("dense", y=(saved.ys[-1], "... O"), dy=(dy, "... O"))
    check_given("dense", saved.Ws, dWs, dbs)
    run = OP.pick(backend, dy, saved.x, *saved.Ws, *saved.ys)
    return run.backward(dy, saved, dWs, dbs, need_x)  # type: ignore[no-any-return]


def check_layers(
    op: str, x: Array, Ws: Sequence[Array], bs: Sequence[Array], activations: Sequence[str],
    name: str = "x",
) -> None:  # fmt: skip
    """ValueError or TypeError unless they fit each other; the last layer's size is called O.

    name: what the call has x as.
    """
    if not len(Ws) == len(bs) == len(activations) > 0:
        raise ValueError(
            f"{op}: each layer has a W, a b and an activation; "
            f"got {len(Ws)}, {len(bs)} and {len(activations)}"
        )
    for f in activations:
        if f not in ACTIVATIONS:
            raise ValueError(f"{op}: unknown activation {f!r}; there are {', '.join(ACTIVATIONS)}")
    names, patterns = _names(name, len(Ws))
    arrays = zip((x, *Ws, *bs), patterns, strict=True)
    check(op, **dict(zip(names, arrays, strict=True)))


def check_given(
    op: str, Ws: Sequence[Array], dWs: Sequence[Array] | None, dbs: Sequence[Array] | None
) -> None:
    """ValueError unless each array that is given for a gradient can take it."""
    shapes = [W.shape for W in Ws]
    if dWs is not None:
        _check_given(op, "dW", dWs, shapes, Ws[0].dtype)
    if dbs is not None:
        _check_given(op, "db", dbs, [shape[1:] for shape in shapes], Ws[0].dtype)


@cache
def _names(x: str, layers: int) -> tuple[list[str], list[str]]:
    """Of x, each W and each b, and their patterns: "W" of one layer, "W1", "W2" of two."""
    if layers == 1:
        return [x, "W", "b"], ["... I", "I O", "O"]
    numbers = range(1, layers + 1)
    names = [x, *(f"W{i}" for i in numbers), *(f"b{i}" for i in numbers)]
    sizes = "I", *(f"O{i}" for i in numbers[:-1]), "O"
    weights = [" ".join(pair) for pair in pairwise(sizes)]
    return names, ["... I", *weights, *sizes[1:]]


def _check_given(
    op: str, name: str, outs: Sequence[Array], shapes: Sequence[Shape], dtype: DType
) -> None:
    if len(outs) != len(shapes):
        raise ValueError(f"{op}: there are {len(shapes)} layers, but {len(outs)} {name}")
    for out, shape in zip(outs, shapes, strict=True):
        if out.shape != shape or out.dtype != dtype:
            raise ValueError(f"{op}: {name} must be {dtype} {shape}, got {out.dtype} {out.shape}")
        check_written(op, **{name: out})
