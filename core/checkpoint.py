"""Checkpoints: arrays and a JSON description in one .npz file, written whole or not at all.

The file holds no pickle.  Beside the arrays it has ``backhand.format`` (a number),
``backhand.meta`` (JSON, as bytes) and ``backhand.sha256`` over both and all arrays.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from backhand._types import Array

FORMAT = 1
KEEP = 2

_FORMAT, _META, _SHA256 = "backhand.format", "backhand.meta", "backhand.sha256"
_STEP = re.compile(r"step-(\d+)\.npz")

PathLike = str | os.PathLike[str]


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or read."""


class _NewerFormat(CheckpointError):
    pass


class Checkpoint(NamedTuple):
    """arrays: by name, in host memory.  meta: as JSON gives it back (lists for tuples)."""

    arrays: dict[str, Array]
    meta: dict[str, Any]


# -- one file ------------------------------------------------------------------------------


@contextmanager
def replacing(path: PathLike) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``path`` at the end of the block, on disk, or never.

    Whatever fails, the old file is untouched and nothing is left beside it; a process that is
    killed leaves at most ``path.tmp``, which the next one overwrites.
    """
    path = Path(path)
    beside = path.with_name(path.name + ".tmp")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    if os.name == "posix":  # the new name itself; other systems cannot open folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def save(path: PathLike, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Write a checkpoint; equal content gives equal bytes.

    arrays: of numbers, on the host or a GPU.  meta: what JSON can say.  Raises CheckpointError
    if the file cannot be written, after which an older one at ``path`` is still there.
    """
    members = {name: _on_host(name, array) for name, array in arrays.items()}
    members[_FORMAT] = np.array(FORMAT, np.int64)
    members[_META] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    members[_SHA256] = _digest(members)
    try:
        with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
            for name, array in members.items():
                # A ZipInfo made by hand has a fixed date.
                with archive.open(zipfile.ZipInfo(name + ".npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
    except OSError as error:
        size = sum(array.nbytes for array in members.values()) / 1e6
        cure = (
            "make room and go on from the last one"
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            else "does the folder exist, and may it be written?"
        )
        raise CheckpointError(
            f"cannot write the checkpoint {path} ({size:.1f} MB): {error.strerror or error}; "
            f"earlier checkpoints are untouched; {cure}"
        ) from error


def load(path: PathLike) -> Checkpoint:
    """Read a checkpoint, verified by its SHA-256.

    Raises CheckpointError for a file that is missing, damaged, foreign, or of a newer format.
    """
    damaged = f"{path} is damaged or cut short; go on from another checkpoint, or copy it again"
    try:
        members = _read(Path(path))
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error}") from error
    except Exception as error:  # damaged bytes can make zipfile and NumPy raise anything
        raise CheckpointError(f"{damaged} ({error})") from error
    digest = members.pop(_SHA256, None)
    if digest is None or not np.array_equal(digest, _digest(members)):
        raise CheckpointError(f"{damaged} (its SHA-256 is not that of its content)")
    del members[_FORMAT]
    return Checkpoint(members, json.loads(members.pop(_META).tobytes()))


def _read(path: Path) -> dict[str, Array]:
    """All members, each checked by its CRC, after the format number."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if _FORMAT not in infos:
            raise CheckpointError(f"{path} was not written by backhand: it holds no {_FORMAT}")
        members: dict[str, Array] = {}
        for name in (_FORMAT, *infos):
            info = infos[name]
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
                raise zipfile.BadZipFile(f"member {info.filename!r} is not as it was written")
            content = io.BytesIO(archive.read(info))  # whole: its CRC is checked before it is used
            members[name] = np.lib.format.read_array(content, allow_pickle=False)
            if name == _FORMAT and members[name] > FORMAT:
                raise _NewerFormat(
                    f"{path} has format {members[name]}, and this version of backhand reads up "
                    f"to {FORMAT}; install a newer one"
                )
    return members


def _on_host(name: str, array: Any) -> Array:
    host = array.get() if hasattr(array, "get") else array
    if not isinstance(host, np.ndarray) or host.dtype.kind not in "biufc":
        kind = getattr(host, "dtype", type(host).__name__)
        raise TypeError(f"checkpoint: {name!r} must be an array of numbers, got {kind}")
    if name.startswith("backhand.") or not name:
        raise ValueError(f"checkpoint: the name {name!r} is taken; choose another")
    return host


def _digest(members: Mapping[str, Array]) -> Array:
    """SHA-256 over names, types, shapes and values, as (32,) bytes."""
    total = hashlib.sha256()
    for name in sorted(members):
        array = members[name]
        total.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return np.frombuffer(total.digest(), np.uint8)


# -- a folder of them ----------------------------------------------------------------------


def file_name(step: int) -> str:
    """step-00001234.npz"""
    return f"step-{step:08d}.npz"


def steps(folder: PathLike) -> list[int]:
    """The steps of which the folder has checkpoints, ascending."""
    names = (_STEP.fullmatch(entry.name) for entry in Path(folder).iterdir())
    return sorted(int(match[1]) for match in names if match)


def rotate(folder: PathLike, newest: int) -> None:
    """After the checkpoint of step ``newest`` was written: remove what is no longer needed.

    Stay: that one, the one before, and all that is no ``step-*.npz``.  Go: older ones, later
    ones (a resume from an earlier step has overtaken them), and leftovers of killed writers.
    """
    folder = Path(folder)
    kept = [step for step in steps(folder) if step <= newest][-KEEP:]
    gone = [folder / file_name(step) for step in steps(folder) if step not in kept]
    for path in [*gone, *folder.glob("*.npz.tmp")]:
        path.unlink(missing_ok=True)


def latest(folder: PathLike) -> Checkpoint | None:
    """The newest checkpoint of a folder that can be read; None if it has none.

    A damaged one is passed over with a warning.  Raises CheckpointError if all are damaged, and
    at once for one of a newer format.  Nothing in the folder is changed.
    """
    errors: list[CheckpointError] = []
    for step in reversed(steps(folder)):
        path = Path(folder) / file_name(step)
        try:
            found = load(path)
        except _NewerFormat:
            raise
        except CheckpointError as error:
            if not path.exists():  # a training process has just removed it for a newer one
                return latest(folder)
            errors.append(error)
            continue
        for failure in errors:
            warnings.warn(f"{failure}; went back to {path.name}", stacklevel=2)
        return found
    if errors:
        raise CheckpointError(
            f"no checkpoint in {folder} can be read: {errors[0]}"
            + (f" ({len(errors) - 1} older ones are no better)" if errors[1:] else "")
        )
    return None
