"""Parameters: one contiguous vector, and a tree of layers whose arrays are views of it.

A tree is any nesting of dataclasses, lists and tuples.  Its floating-point arrays are the
parameters; integers, strings, functions and fields made by ``constant()`` are not.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple, Self

from backhand._types import Array, Shape
from backhand.numerics import xp_of


def constant(**kwargs: Any) -> Any:
    """A dataclass field for an array that belongs to the model but is not trained."""
    return dataclasses.field(metadata={"constant": True}, **kwargs)


class Entry(NamedTuple):
    """Where one parameter lies in the vector."""

    name: str
    shape: Shape
    offset: int
    size: int


class Params:
    """``vector`` (P,), and the ``table`` that says what lies where in it."""

    def __init__(self, vector: Array, table: tuple[Entry, ...]) -> None:
        self.vector = vector
        self.table = table

    @property
    def parts(self) -> tuple[str, ...]:
        """The top-level names, in order: one network each."""
        return tuple(dict.fromkeys(entry.name.partition(".")[0] for entry in self.table))

    def range_of(self, part: str) -> slice:
        """The slice of the vector that holds ``part``; ``""`` is all of it."""
        inside = [
            e for e in self.table if not part or e.name == part or e.name.startswith(part + ".")
        ]
        if not inside:
            raise KeyError(f"no part {part!r}; there are {', '.join(self.parts)}")
        return slice(inside[0].offset, inside[-1].offset + inside[-1].size)

    def part(self, name: str) -> Array:
        """One contiguous view of the vector: a network, a layer, or one parameter (flat)."""
        return self.vector[self.range_of(name)]

    def __getitem__(self, name: str) -> Array:
        """The parameter ``name``, in its own shape."""
        for entry in self.table:
            if entry.name == name:
                return self.vector[entry.offset : entry.offset + entry.size].reshape(entry.shape)
        raise KeyError(f"no parameter {name!r}; there are {', '.join(e.name for e in self.table)}")


def is_leaf(value: Any) -> bool:
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    return kind in ("f", "c") and hasattr(value, "shape")


def _is_node(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def children(node: Any) -> Iterator[tuple[str, Any]]:
    """(name, value) of the members of a tree node that can hold parameters."""
    if _is_node(node):
        for field in dataclasses.fields(node):
            if not field.metadata.get("constant"):
                yield field.name, getattr(node, field.name)
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield str(i), value
    elif not isinstance(node, type | ModuleType):
        members = node if isinstance(node, dict) else _attributes(node)
        hidden = [str(name) for name, value in members.items() if _holds_any(value)]
        if hidden:
            raise TypeError(
                f"{type(node).__name__} is no dataclass, list or tuple, so its {', '.join(hidden)} "
                "would not be trained; make it a @dataclass, or its field a constant()"
            )


def leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Array]]:
    """(dotted name, array) of every parameter, depth first, in the order of the fields."""
    for name, value in children(tree):
        if is_leaf(value):
            yield prefix + name, value
        else:
            yield from leaves(value, f"{prefix}{name}.")


def _holds_any(value: Any, seen: set[int] | None = None) -> bool:
    """Whether there is a floating-point array in it, however deep and whatever it lies in."""
    seen = set() if seen is None else seen
    if is_leaf(value):
        return True
    if isinstance(value, type | ModuleType) or id(value) in seen:
        return False
    seen.add(id(value))
    if _is_node(value):
        members = [member for _, member in children(value)]
    elif isinstance(value, list | tuple):
        members = list(value)
    else:
        members = list((value if isinstance(value, dict) else _attributes(value)).values())
    return any(_holds_any(member, seen) for member in members)


def _attributes(value: Any) -> dict[str, Any]:
    return getattr(value, "__dict__", {})


def rebuild(tree: Any, replace: Callable[[str, Array], Any], prefix: str = "") -> Any:
    """The same tree with every parameter replaced; nodes are copied, nothing is written."""
    if isinstance(tree, list | tuple):
        values = [_rebuilt(value, replace, f"{prefix}{i}") for i, value in enumerate(tree)]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    if not _holds_any(tree):
        return tree
    new = copy.copy(tree)
    for name, value in children(tree):
        object.__setattr__(new, name, _rebuilt(value, replace, prefix + name))
    return new


def _rebuilt(value: Any, replace: Callable[[str, Array], Any], name: str) -> Any:
    return replace(name, value) if is_leaf(value) else rebuild(value, replace, name + ".")


def constants(tree: Any, prefix: str = "") -> dict[str, Array]:
    """The arrays that belong to the tree and are not trained, by dotted name."""
    found: dict[str, Array] = {}
    if _is_node(tree):
        for field in dataclasses.fields(tree):
            if field.metadata.get("constant") and getattr(tree, field.name) is not None:
                found[prefix + field.name] = getattr(tree, field.name)
    for name, value in children(tree):
        if not is_leaf(value):
            found.update(constants(value, f"{prefix}{name}."))
    return found


def assign_constants(tree: Any, values: Mapping[str, Array]) -> None:
    """Write ``values`` into the tree's constants; names and shapes must be the tree's own."""
    own = constants(tree)
    if own.keys() != values.keys():
        raise ValueError(f"constants are {sorted(own)}, got {sorted(values)}")
    for name, array in own.items():
        if array.shape != values[name].shape:
            raise ValueError(f"constant {name} has shape {array.shape}, got {values[name].shape}")
        array[...] = values[name]


def table_of(tree: Any) -> tuple[Entry, ...]:
    """The layout that ``pack`` gives to the tree's parameters."""
    table: list[Entry] = []
    seen: dict[str, Array] = {}
    offset, dtype = 0, None
    for name, array in leaves(tree):
        for other, earlier in seen.items():
            if array is earlier or _overlap(array, earlier):
                raise ValueError(
                    f"{name} and {other} are one array, or share memory; hold a shared layer in "
                    "one field"
                )
        if dtype is not None and array.dtype != dtype:
            raise TypeError(f"parameter {name} is {array.dtype}, the ones before it {dtype}")
        seen[name], dtype = array, array.dtype
        table.append(Entry(name, array.shape, offset, array.size))
        offset += array.size
    if not table:
        raise ValueError(f"{type(tree).__name__} holds no parameters")
    return tuple(table)


def _overlap(a: Array, b: Array) -> bool:
    xp = xp_of(a)
    return bool(xp.may_share_memory(a, b) and xp.shares_memory(a, b))


def pack(tree: Any) -> tuple[Any, Params]:
    """The tree over one new contiguous vector, which holds a copy of its values."""
    table = table_of(tree)
    arrays = [array for _, array in leaves(tree)]
    xp = xp_of(arrays[0])
    params = Params(xp.concatenate([a.reshape(-1) for a in arrays]), table)
    return rebuild(tree, lambda name, _: params[name]), params


def over(tree: Any, table: tuple[Entry, ...], vector: Array) -> tuple[Any, Params]:
    """The same tree over another vector of the same length, of any dtype or device."""
    size = table[-1].offset + table[-1].size
    if vector.shape != (size,):
        raise ValueError(f"the vector must have shape ({size},), got {vector.shape}")
    params = Params(vector, table)
    return _cast_constants(rebuild(tree, lambda name, _: params[name]), vector), params


def _cast_constants(tree: Any, vector: Array) -> Any:
    """Constants follow the vector's precision and device (they stay real)."""
    xp = xp_of(vector)
    real = vector.real.dtype
    if isinstance(tree, list | tuple):
        values = [_cast_constants(value, vector) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    if not _is_node(tree):
        return tree
    new = copy.copy(tree)
    for field in dataclasses.fields(tree):
        value = getattr(tree, field.name)
        if field.metadata.get("constant"):
            if hasattr(value, "dtype"):
                value = xp.asarray(value, dtype=real if is_leaf(value) else value.dtype)
        elif not is_leaf(value):
            value = _cast_constants(value, vector)
        object.__setattr__(new, field.name, value)
    return new


class Packed:
    """Base of models: a dataclass whose parameters live in ``self.params.vector``."""

    params: Params

    def __post_init__(self) -> None:
        packed, self.params = pack(self)
        self.__dict__.update({name: getattr(packed, name) for name, _ in children(packed)})

    def over(self, vector: Array) -> Self:
        """The same model over another vector: float64, complex128, averaged, on a GPU."""
        new, params = over(self, self.params.table, vector)
        new.params = params
        return new  # type: ignore[no-any-return]
