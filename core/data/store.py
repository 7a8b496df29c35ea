"""Where the files of a data set are: found, fetched, read and verified.

Looked for in ``$BACKHAND_DATA/<name>/``, then in the user's cache, then fetched into it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from backhand._types import Array
from backhand.data import parsers, sets
from backhand.data.files import DataError, digest, read_bytes
from backhand.data.registry import Entry, File, entry, registry

Content: TypeAlias = bytes | Mapping[str, Array]


def cache() -> Path:
    """The user's cache for backhand, by the platform's conventions."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "backhand"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "backhand"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "backhand" / "Cache"
    return Path.home() / ".cache" / "backhand"


def folders(name: str) -> list[Path]:
    """The folders in which a data set is looked for, in order."""
    if entry(name).note == "inside the package":
        return [Path(__file__).parent]
    given = os.environ.get("BACKHAND_DATA")
    return ([Path(given) / name] if given else []) + [cache() / name]


def find(name: str) -> Path | None:
    """The first folder that holds all files of a data set."""
    files = entry(name).files
    for folder in folders(name):
        if all(_path(folder, file) for file in files):
            return folder
    return None


def verify(name: str) -> Path:
    """The folder of a data set whose files all hold what they should; else raises DataError."""
    folder = find(name)
    if folder is None:
        raise FileNotFoundError(_missing(entry(name), "it has not been fetched"))
    sets.build(entry(name), read(name, folder)[0])
    return folder


def found() -> dict[str, str | None]:
    """The folder of each known data set, None where it is not on this machine."""
    places = ((name, find(name)) for name in registry())
    return {name: None if place is None else str(place) for name, place in places}


def get(name: str) -> Path:
    """The folder of a data set, after fetching it where it is not found."""
    return find(name) or _fetch(entry(name))


def read(name: str, folder: Path) -> tuple[dict[str, Content], dict[str, str]]:
    """The content of each file, verified, and its digest; a mismatch raises DataError."""
    contents, digests = {}, {}
    for file in entry(name).files:
        path = _path(folder, file)
        if path is None:
            raise FileNotFoundError(f"{folder / file.name}: no such file")
        content = _content(path, file)
        got = digest(content)
        if file.sha256 and got != file.sha256:
            raise DataError(
                f"{path}: its content has SHA-256 {got}, expected {file.sha256}; "
                f"it is damaged or another version: remove it and run backhand data get {name}"
            )
        contents[file.name], digests[file.name] = content, got
    return contents, digests


def _path(folder: Path, file: File) -> Path | None:
    """A file in its folder, also without the ``.gz`` of its name."""
    for name in (file.name, file.name.removesuffix(".gz")):
        if (folder / name).is_file():
            return folder / name
    return None


def _content(path: Path, file: File) -> Content:
    return parsers.npz(path) if path.suffix == ".npz" else read_bytes(path, expected=file.size)


def _fetch(wanted: Entry) -> Path:
    """Fetches, converts and verifies beside the cache's folder, then moves the files there."""
    target = cache() / wanted.name
    if not wanted.urls:
        raise FileNotFoundError(_missing(wanted, "it has no public file in this format"))
    try:
        from pooch import HTTPDownloader  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise FileNotFoundError(
            _missing(wanted, "fetching it needs pooch: pip install 'backhand[app]'")
        ) from None
    download = HTTPDownloader(chunk_size=1 << 20, timeout=30)
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache(), prefix=".fetch-") as name:
        folder = Path(name)
        for url in wanted.urls:
            try:
                download(url, str(folder / url.rsplit("/", 1)[1]), None)
            except (OSError, ValueError) as error:
                reason = f"fetching {url} failed ({_short(error)})"
                raise FileNotFoundError(_missing(wanted, reason)) from error
        if wanted.convert:
            from backhand.data import convert

            getattr(convert, wanted.convert)(folder)
        sets.build(wanted, read(wanted.name, folder)[0])
        target.mkdir(exist_ok=True)
        for file in wanted.files:
            (folder / file.name).replace(target / file.name)
    return target


def _short(error: Exception) -> str:
    """What went wrong, without the page of detail that a lost connection comes with."""
    text = str(error)
    return text if len(text) < 100 else type(error).__name__


def _missing(wanted: Entry, reason: str) -> str:
    looked = ", ".join(str(folder) for folder in folders(wanted.name))
    files = ", ".join(file.name for file in wanted.files)
    note = f" ({wanted.note})" if wanted.note else ""
    return (
        f"data set {wanted.name} not found in {looked}, and {reason}; "
        f"put {files} into {cache() / wanted.name}, or into $BACKHAND_DATA/{wanted.name}{note}; "
        f"source: {wanted.source}"
    )
