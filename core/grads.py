"""Gradient twins: the same tree as a model or layer, with accumulators for leaves.

``g = grads_like(model)``; a backward adds into ``g.encoder.W``; ``g.flush()`` ends it.
``NO_GRAD`` takes the place of a twin when nobody wants those gradients.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any, Final

from backhand._types import Array, Shape
from backhand.kernels import embedding, matrix_product
from backhand.numerics import as_rows, sum_rows, xp_of
from backhand.params import Params, children, is_leaf, table_of

ROWS = 1024  # of deferred operands: more gain nothing and are only held longer


class Accumulator:
    """Sums the gradient of one parameter in a view of the gradient vector."""

    __slots__ = (
        "_bias", "_defer", "_fresh", "_given", "_name", "_pending", "_room", "_rows", "_view",
    )  # fmt: skip

    def __init__(self, name: str, view: Array, defer: bool) -> None:
        self._name = name
        self._view = view
        self._fresh = True  # nothing added yet: the view holds old numbers
        self._defer = defer
        self._pending: list[tuple[Array, Array]] = []  # operands of add_outer
        self._rows = 0  # of them all
        self._bias: Accumulator | None = None  # that waits with them
        self._room: Array | None = None  # the dy that wait, one below the other
        self._given: Array | None = None  # the part of it that was given last

    @property
    def array(self) -> Array:
        """The sum so far, as a view of the gradient vector, in the parameter's shape."""
        if self._fresh:
            self._view[...] = 0
            self._fresh = False
        return self._view

    def add(self, d: Array) -> None:
        """+= d, of the parameter's own shape."""
        if d.shape != self._view.shape:
            raise self._mismatch(d.shape)
        if self._fresh:
            self._view[...] = d
            self._fresh = False
        else:
            self._view += d

    def add_rows(self, dy: Array) -> None:
        """+= dy summed over its leading axes (the gradient of a broadcast)."""
        self.add(sum_rows(dy))

    def add_at(self, index: Array, rows: Array, backend: str | None = None) -> None:
        """Row index[i] += rows[i], repeated rows in order: the gradient of a gather."""
        table = self.array.reshape(len(self._view), math.prod(self._view.shape[1:]))
        d = rows.reshape(*index.shape, table.shape[1])
        embedding.add_at(table, index, d, backend=backend)

    def room(self, shape: Shape, dtype: Any) -> Array | None:
        """Where the dy of the next ``add_outer`` lies best: it need not be copied there."""
        rows = math.prod(shape[:-1])
        if not self._defer or shape[-1] != self._view.shape[1] or rows >= ROWS:
            return None
        if self._room is None or self._room.dtype != dtype or len(self._room) < ROWS + rows:
            if self._pending:
                return None
            self._room = xp_of(self._view).empty((ROWS + rows, shape[-1]), dtype)
        self._given = self._room[self._rows : self._rows + rows].reshape(shape)
        return self._given

    def add_outer(self, x: Array, dy: Array, bias: Accumulator | None = None) -> None:
        """+= x.T @ dy over all leading axes; where products are deferred, with others in one.

        bias: always the same one for this parameter, or None; it gets the sum of the dy.
        """
        if (x.shape[-1], dy.shape[-1]) != self._view.shape:
            raise self._mismatch((x.shape[-1], dy.shape[-1]))
        if x.shape[:-1] != dy.shape[:-1]:
            raise ValueError(f"{self._name}: add_outer of x {x.shape} and dy {dy.shape}")
        self._bias = bias
        if not self._defer:
            self._product(x, dy)
            return
        if dy is not self._given:
            self._room = None  # not all of them lie there
        self._given = None
        self._pending.append((as_rows(x), as_rows(dy)))
        self._rows += len(self._pending[-1][0])
        if self._rows >= ROWS:
            self.multiply()

    def multiply(self) -> None:
        """Add the products that were deferred, as one."""
        if not self._pending:
            return
        xs, dys = zip(*self._pending, strict=True)
        rows, xp = self._rows, xp_of(dys[0])
        self._forget_pending()
        if len(xs) == 1:
            self._product(xs[0], dys[0])
        elif self._room is not None:
            self._product(xp.concatenate(xs), self._room[:rows])
        else:
            self._product(xp.concatenate(xs), xp.concatenate(dys))

    def finish(self) -> None:
        """Run the deferred products; zero if nothing was added."""
        if self._pending:
            self.multiply()
        if self._fresh:
            _ = self.array

    def forget(self) -> None:
        if self._pending or self._given is not None:
            self._forget_pending()
        self._fresh = True

    def _forget_pending(self) -> None:
        self._pending.clear()
        self._rows = 0
        self._given = None

    def _mismatch(self, shape: Shape) -> ValueError:
        return ValueError(
            f"{self._name}: its gradient must have shape {self._view.shape}, as the parameter has, "
            f"got {shape}"
        )

    def _product(self, x: Array, dy: Array) -> None:
        if self._fresh and x.dtype == dy.dtype == self._view.dtype:
            matrix_product.outer(x, dy, self._view)
            self._fresh = False
        else:
            self.add(as_rows(x).T @ as_rows(dy))
        if self._bias is not None:
            self._bias.add_rows(dy)


class Twin:
    """A node of the gradient tree: attributes as in the layer, indices as in a list."""

    def __init__(self, members: dict[str, Any]) -> None:
        self.__dict__.update(members)

    def __getitem__(self, i: int) -> Any:
        members = list(self.__dict__.values())
        return members[i]

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self.__dict__.values()))

    def __reversed__(self) -> Iterator[Any]:
        return reversed(list(self.__dict__.values()))  # type: ignore[no-any-return]


class Grads:
    """The root of a gradient tree.  Attributes are the twin's; ``vector`` is its storage."""

    def __init__(self, tree: Any, vector: Array | None = None, defer: bool = False) -> None:
        table = getattr(tree, "params", None)
        table = table.table if isinstance(table, Params) else table_of(tree)
        size = table[-1].offset + table[-1].size
        if vector is None:
            first = next(_arrays(tree))
            vector = xp_of(first).zeros(size, first.dtype)
        elif vector.shape != (size,):
            raise ValueError(f"the vector must have shape ({size},), got {vector.shape}")
        self.params = Params(vector, table)
        self._leaves: list[Accumulator] = []
        self._twin = self._build(tree, "", defer)
        self.__dict__.update(
            vars(self._twin)
        )  # at hand: time loops ask for them thousands of times

    @property
    def vector(self) -> Array:
        """The whole gradient, flat, laid out as the parameters; complete after ``flush()``."""
        return self.params.vector

    def part(self, name: str) -> Array:
        return self.params.part(name)

    def flush(self) -> None:
        """End a backward: run the deferred products, zero what received nothing."""
        for leaf in self._leaves:
            if leaf._pending or leaf._fresh:
                leaf.finish()

    def zero(self) -> None:
        """Forget everything that was added; the next additions start from zero."""
        for leaf in self._leaves:
            if not leaf._fresh or leaf._defer:
                leaf.forget()

    def __getitem__(self, i: int) -> Any:
        return self._twin[i]

    def _build(self, node: Any, prefix: str, defer: bool) -> Any:
        members: dict[str, Any] = {}
        for name, value in children(node):
            if not prefix and (name == "params" or hasattr(type(self), name)):
                raise ValueError(f"a part cannot be called {name!r}: gradient trees have their own")
            if is_leaf(value):
                full = prefix + name
                members[name] = Accumulator(full, self.params[full], defer)
                self._leaves.append(members[name])
            elif dataclasses.is_dataclass(value) or isinstance(value, list | tuple):
                members[name] = self._build(value, f"{prefix}{name}.", defer)
            else:
                members[name] = NO_GRAD  # keeps the positions of a mixed list
        return Twin(members)


def _arrays(node: Any) -> Iterator[Array]:
    for _, value in children(node):
        if is_leaf(value):
            yield value
        else:
            yield from _arrays(value)


def grads_like(tree: Any, vector: Array | None = None, defer: bool = False) -> Grads:
    """A gradient twin of a model or layer, over ``vector`` (P,) or a new one.

    ``defer=True`` keeps the operands of ``add_outer`` until they have 1024 rows or more, or until
    ``flush()``, and multiplies them as one: for layers called at many time steps with few rows.
    """
    return Grads(tree, vector, defer)


def claim_all(leaves: list[Any], dtype: Any) -> list[Array] | None:
    """The views of all these leaves, for who writes each whole gradient there.

    None where one cannot take that: something was added, it defers, or has another type.
    """
    for leaf in leaves:
        if leaf is NO_GRAD or not leaf._fresh or leaf._defer or leaf._view.dtype != dtype:
            return None
    for leaf in leaves:
        leaf._fresh = False
    return [leaf._view for leaf in leaves]


class _NoGrad:
    """Takes every gradient and keeps none; also costs none, as products are never formed."""

    __slots__ = ()

    def __getattr__(self, name: str) -> _NoGrad:
        if name.startswith("__"):  # let copy, pickle and NumPy see an ordinary object
            raise AttributeError(name)
        return self

    def __getitem__(self, i: Any) -> _NoGrad:
        return self

    def __iter__(self) -> Iterator[_NoGrad]:
        return itertools.repeat(self)

    def __reversed__(self) -> Iterator[_NoGrad]:
        return itertools.repeat(self)

    def __repr__(self) -> str:
        return "NO_GRAD"

    def room(self, shape: Shape, dtype: Any) -> None: ...
    def add(self, d: Array) -> None: ...
    def add_rows(self, dy: Array) -> None: ...
    def add_at(self, index: Array, rows: Array, backend: str | None = None) -> None: ...
    def add_outer(self, x: Array, dy: Array, bias: object = None) -> None: ...
    def flush(self) -> None: ...
    def zero(self) -> None: ...


NO_GRAD: Final = _NoGrad()
