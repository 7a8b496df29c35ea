"""The data sets known by name, from ``registry.toml``, which also says what each field means."""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """A file of a data set; sha256 and size (bytes) are of its uncompressed content, or None."""

    name: str
    sha256: str | None
    size: int | None


class Entry(NamedTuple):
    """A data set; the fields are those of ``registry.toml``."""

    name: str
    kind: str
    licence: str
    redistributable: bool
    source: str
    splits: str
    files: tuple[File, ...]
    seed: int = 0
    binarisation: str = "none"
    valid: int = 0
    urls: tuple[str, ...] = ()
    convert: str = ""
    note: str = ""


@cache
def registry() -> dict[str, Entry]:
    """All data sets by name."""
    tables = tomllib.loads(Path(__file__).with_name("registry.toml").read_text("utf-8"))
    entries = {}
    for name, table in tables.items():
        files = tuple(_file(*line.split()) for line in table.pop("files"))
        urls = tuple(table.pop("urls", ()))
        entries[name] = Entry(name, files=files, urls=urls, **table)
    return entries


def entry(name: str) -> Entry:
    """One data set; an unknown name raises ValueError with the nearest known ones."""
    known = registry()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"unknown data set {name!r}; {hint}known: {', '.join(sorted(known))}")


def _file(sha256: str, size: str, name: str) -> File:
    return File(name, None if sha256 == "-" else sha256, None if size == "-" else int(size))
