"""Configuration as text: values by their fields' types, ``--set field=value``, and TOML.

A configuration is some frozen dataclasses, called tables: [model], [training], [data].  A
field may be int, float, bool, str, tuple[int, ...], tuple[float, ...] or Literal[...].
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from backhand.checkpoint import replacing

FORMAT = 1

# -- values by type ------------------------------------------------------------------------


def field_types(config: type) -> dict[str, Any]:
    """Field name -> type of a configuration dataclass."""
    hints = get_type_hints(config)
    return {field.name: hints[field.name] for field in fields(config)}


def _describe(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(repr(choice) for choice in get_args(kind))}"
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        return "integers, as in 200,200" if item is int else "numbers, as in 0.5,0.75"
    return {
        int: "an integer", float: "a finite number", bool: "true or false", str: "text",
    }[kind]  # fmt: skip


def typed(where: str, kind: Any, value: Any) -> Any:
    """``value`` as exactly ``kind``: 1 as 1.0 and [1] as (1,), but never 1.0 as 1.

    Raises ValueError, which begins with ``where``.
    """
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        return tuple(typed(where, get_args(kind)[0], item) for item in value)
    if get_origin(kind) is Literal:
        for choice in get_args(kind):
            if type(choice) is type(value) and choice == value:
                return choice
    elif isinstance(value, bool):
        if kind is bool:
            return value
    elif kind is int and isinstance(value, Integral):
        return int(value)
    elif kind is float and isinstance(value, Real) and _fits(value):
        return float(value)
    elif kind is str and isinstance(value, str):
        return str(value)
    raise ValueError(f"{where} must be {_describe(kind)}, got {value!r}")


def _fits(value: Any) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def parse_value(kind: Any, text: str, where: str = "the value") -> Any:
    """The text of ``--set field=text`` as a value of the field's type; "" is an empty tuple."""
    value: Any = text
    try:
        if get_origin(kind) is Literal:
            value = next((c for c in get_args(kind) if str(c) == text), text)
        elif get_origin(kind) is tuple:
            item = get_args(kind)[0]
            value = tuple(item(part) for part in text.split(",")) if text.strip() else ()
        elif kind is bool:
            value = {"true": True, "false": False}.get(text.strip().lower(), text)
        elif kind is not str:
            value = kind(text)
    except ValueError:
        raise ValueError(f"{where} must be {_describe(kind)}, got {text!r}") from None
    return typed(where, kind, value)


# -- settings ------------------------------------------------------------------------------


def apply_settings(configs: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """The tables with ``["hidden=200,200", "training.lr=1e-4"]`` put in; the last one counts.

    A name without a table is looked up in all of them.
    """
    changes: dict[str, dict[str, Any]] = {table: {} for table in configs}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"a setting is field=value, got {setting!r}")
        table, field = _find(configs, name.strip())
        kind = field_types(type(configs[table]))[field]
        changes[table][field] = parse_value(kind, text, f"{table}.{field}")
    return {table: replace(config, **changes[table]) for table, config in configs.items()}


def _find(configs: Mapping[str, Any], name: str) -> tuple[str, str]:
    """(table, field) of a name, which may be qualified by its table."""
    known = [(table, field) for table in configs for field in field_types(type(configs[table]))]
    found = [(t, f) for t, f in known if name in (f, f"{t}.{f}")]
    if not found:
        raise ValueError(_unknown(configs, name))
    if len(found) > 1:
        raise ValueError(
            f"{name!r} is ambiguous: write {' or '.join(f'{t}.{f}' for t, f in found)}"
        )
    return found[0]


def _unknown(configs: Mapping[str, Any], name: str) -> str:
    lists, full, bare = [], [], []
    for table, config in configs.items():
        names = list(field_types(type(config)))
        lists.append(f"{table}: {', '.join(names)}")
        bare += names
        full += [f"{table}.{field}" for field in names]
    close = difflib.get_close_matches(name, full if "." in name else bare, 1)
    hint = f": did you mean {close[0]!r}?" if close else "."
    return f"unknown field {name!r}{hint} Known fields are {'; '.join(lists)}"


# -- TOML ----------------------------------------------------------------------------------


def read_toml(
    path: str | os.PathLike[str], configs: Mapping[str, Any], name: str = ""
) -> dict[str, Any]:
    """The tables with what the file says put in; ``name``: of the model it must be for."""
    document = _document(path)
    given = document.get("model", {}).pop("name", name)
    if name and given != name:
        raise ValueError(f"{path} is for the model {given!r}, not for {name!r}")
    result = dict(configs)
    for table, values in document.items():
        if table not in configs:
            raise ValueError(f"{path}: unknown table [{table}]; there are {', '.join(configs)}")
        kinds = field_types(type(configs[table]))
        for field in values:
            if field not in kinds:
                raise ValueError(f"{path}: {_unknown(configs, f'{table}.{field}')}")
        try:
            new = {f: typed(f"{table}.{f}", kinds[f], value) for f, value in values.items()}
            result[table] = replace(configs[table], **new)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return result


def model_name(path: str | os.PathLike[str]) -> str:
    """The model that a configuration file is for: ``name`` in its table [model]."""
    name = _document(path).get("model", {}).get("name")
    if not isinstance(name, str):
        raise ValueError(f'{path} names no model: name = "vae" is missing in its table [model]')
    return name


def _document(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The tables of a file, its syntax and format number checked."""
    try:
        document = tomllib.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except ValueError as error:  # also what tomllib and the decoder raise
        raise ValueError(f"{path} is not valid TOML: {error}") from None
    number = document.pop("format", FORMAT)
    if type(number) is not int or number < 1:
        raise ValueError(f"{path}: format must be a whole number from 1 on, got {number!r}")
    if number > FORMAT:
        raise ValueError(
            f"{path} has format {number}, and this version of backhand reads up to {FORMAT}; "
            "install a newer one"
        )
    for table, values in document.items():
        if not isinstance(values, dict):
            raise ValueError(f"{path}: {table} stands outside of a table; put it under [training]")
    return document


def to_toml(name: str, configs: Mapping[str, Any]) -> str:
    """Everything resolved, as text that ``read_toml`` reads back to equal values."""
    lines = [f"format = {FORMAT}"]
    for table, config in configs.items():
        kinds = field_types(type(config))
        lines += ["", f"[{table}]"]
        if table == "model":
            if "name" in kinds:
                raise TypeError(
                    f"{type(config).__name__}: 'name' is taken, for the model's own name"
                )
            lines.append(f"name = {_toml(name)}")
        for field, kind in kinds.items():
            value = typed(f"{table}.{field}", kind, getattr(config, field))
            lines.append(f"{field if field.isascii() else _toml(field)} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def write_toml(path: str | os.PathLike[str], name: str, configs: Mapping[str, Any]) -> None:
    """``to_toml`` into a file, which is replaced at once or not at all."""
    text = to_toml(name, configs)
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        escaped = re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m[0]):04x}", escaped)
        return f'"{escaped}"'
    return repr(value)
